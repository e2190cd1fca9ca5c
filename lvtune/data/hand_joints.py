"""Brings the joints of hands into one order: index maps of the data sets, palm and wrist, boxes, projection.

The order is FreiHAND's, of skeleton ``hand-21``: wrist (or palm), then thumb, index, middle, ring and little
finger, each from base to tip. Numbers of this file: spec of the data sets (RHD, STB, FreiHAND papers and readers).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lvtune.data.skeletons import HAND_21

Root = Literal["palm", "wrist"]

MIDDLE_MCP, MIDDLE_PIP, RING_MCP = 9, 10, 13
#: Joint i of the common order is joint RHD_ORDER[i] of one hand of RHD (which lists fingers from tip to base).
RHD_ORDER = (0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17)
#: Joint i of the common order is joint STB_ORDER[i] of STB (palm, then little finger to thumb, base to tip).
STB_ORDER = (0, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4)
#: STB's palm is on the way from the ring finger's base to the wrist, half-way.
PALM_TO_WRIST = 2.0
#: Parent of joints 1 to 20.
PARENTS = tuple(start for start, _ in HAND_21.links)

SMALLEST_CROP, LARGEST_CROP = 50.0, 500.0


def palm_from_wrist(points: np.ndarray) -> np.ndarray:
    """Replaces joint 0 of (..., 21, D), the wrist, by the palm: half-way to the middle finger's base."""
    moved = np.array(points, copy=True)
    moved[..., 0, :] = (moved[..., 0, :] + moved[..., MIDDLE_MCP, :]) / 2
    return moved


def wrist_from_palm(points: np.ndarray) -> np.ndarray:
    """Replaces joint 0 of (..., 21, D), STB's palm centre, by the wrist, extrapolated from the ring finger."""
    moved = np.array(points, copy=True)
    base = moved[..., RING_MCP, :]
    moved[..., 0, :] = base + PALM_TO_WRIST * (moved[..., 0, :] - base)
    return moved


def with_root(points: np.ndarray, native: Root, wanted: Root) -> np.ndarray:
    """Returns (..., 21, D) with joint 0 as ``wanted``; the data set gives ``native``."""
    if native == wanted:
        return points
    return palm_from_wrist(points) if wanted == "palm" else wrist_from_palm(points)


def reference_bone(xyz: np.ndarray) -> np.ndarray:
    """Returns (...,) the length of the bone that normalises a hand: middle finger, base to next joint."""
    return np.linalg.norm(xyz[..., MIDDLE_PIP, :] - xyz[..., MIDDLE_MCP, :], axis=-1)


def bone_lengths(xyz: np.ndarray) -> np.ndarray:
    """Returns (..., 20) the length of the bone that ends in each of joints 1 to 20."""
    return np.linalg.norm(xyz[..., 1:, :] - xyz[..., PARENTS, :], axis=-1)


def project(xyz: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Projects (..., K, 3) camera coordinates by (..., 3, 3) intrinsics to (..., K, 2) pixels."""
    image = xyz @ np.swapaxes(camera, -1, -2)
    return image[..., :2] / image[..., 2:]


def hand_box(keypoints: np.ndarray) -> np.ndarray:
    """Returns the square that a hand is cropped to.

    Centred on the middle finger's base, twice as wide as the farthest visible key point is away along x or y, from
    50 to 500 pixels (Zimmermann & Brox, ICCV 2017).

    Args:
        keypoints: (..., 21, 3) x, y, visibility.

    Returns:
        (..., 4) x, y, width, height.
    """
    centre = keypoints[..., MIDDLE_MCP, :2]
    away = np.abs(keypoints[..., :2] - centre[..., None, :]).max(-1)
    half = np.where(keypoints[..., 2] > 0, away, 0.0).max(-1)
    side = np.clip(2 * half, SMALLEST_CROP, LARGEST_CROP)[..., None]
    return np.concatenate([centre - side / 2, side, side], -1)


def order_fault(xyz: np.ndarray) -> str | None:
    """Returns what is wrong with the order of joints, judged by what no pose changes; None if it is right.

    The bones of a finger grow shorter to its tip, the bases of the four fingers lie side by side, and the thumb starts
    near the wrist on the index finger's side.

    Args:
        xyz: (N, 21, 3) hands said to be in the common order; medians over them decide.
    """

    def apart(first: int, second: int) -> float:
        return float(np.median(np.linalg.norm(xyz[:, first] - xyz[:, second], axis=-1)))

    for name, base in zip(("thumb", "index", "middle", "ring", "little"), range(1, 21, 4), strict=True):
        bones = [apart(joint, joint + 1) for joint in range(base, base + 3)]
        if bones[0] <= bones[2]:
            return f"the bones of the {name} finger grow longer to its tip"
        if max(bones) > 2 * apart(MIDDLE_MCP, MIDDLE_PIP):
            return f"the joints of the {name} finger are not next to one another"
    if not (apart(5, 9) < apart(5, 13) < apart(5, 17) and apart(17, 13) < apart(17, 9) < apart(17, 5)):
        return "the four fingers are not side by side from index to little finger"
    if apart(0, 1) > apart(0, 17) or apart(2, 5) > apart(2, 17):
        return "the thumb does not start near the wrist on the index finger's side"
    return None
