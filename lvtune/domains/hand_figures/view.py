"""Rotates rendered hands and projects them by a pinhole camera."""

from __future__ import annotations

import numpy as np

from lvtune.data.hand_joints import project
from lvtune.domains.hand_figures.poses import BLOCK

#: Turned about the forearm at will (palm or back seen), tilted towards the camera and within the picture by at most so
#: many degrees: hands that hang straight down or point at the lens are rare in the data sets of photographs.
TILT, ROLL = 50.0, 75.0
FOCAL = (1.6, 3.2)
"""Focal length in widths of the picture: fields of view from 35 to 18 degrees."""
FILL = (0.55, 0.85)
"""The joints' extent in widths of the picture."""
JITTER = 0.06
"""How far off the picture's middle the hand may be, in widths."""


def photograph(hands: np.ndarray, split: str, seed: int, size: int) -> dict[str, np.ndarray]:
    """Places right hands in front of a camera and mirrors half of them to left ones.

    Args:
        hands: (N, 21, 3) mm in their own coordinates.
        split: decides the draw together with the seed and a hand's number.
        seed: of the domain.
        size: width and height of the pictures in pixels.

    Returns:
        ``xyz`` (N, 21, 3) mm in camera coordinates, ``camera`` (N, 3, 3), ``side`` (N,) 0 left, 1 right.
    """
    count = len(hands)
    blocks = range(-(-count // BLOCK))
    drawn = np.concatenate([
        np.random.default_rng([seed, int(split != "train"), number, 1]).uniform(size=(BLOCK, 8)) for number in blocks
    ])[:count]  # fmt: skip
    side = (drawn[:, 0] < 0.5).astype(np.int64)
    mirrored = hands * np.where(side[:, None, None] == 1, 1.0, [-1.0, 1.0, 1.0])
    turned = mirrored @ np.swapaxes(_rotation(drawn[:, 1:4]), 1, 2)
    low, high = turned.min(1), turned.max(1)
    turned -= ((low + high) / 2)[:, None]
    focal = size * _between(FOCAL, drawn[:, 4])
    distance = focal * (high - low)[:, :2].max(1) / (size * _between(FILL, drawn[:, 5]))
    turned[..., 2] += distance[:, None]
    middle = (size - 1) / 2
    camera = np.zeros((count, 3, 3))
    camera[:, 0, 0] = camera[:, 1, 1] = focal
    camera[:, :2, 2], camera[:, 2, 2] = middle, 1.0
    seen = project(turned, camera)
    off = middle + size * JITTER * (2 * drawn[:, 6:] - 1) - (seen.min(1) + seen.max(1)) / 2
    turned[..., :2] += (off * (distance / focal)[:, None])[:, None]
    return {"xyz": turned, "camera": camera, "side": side}


def _between(ends: tuple[float, float], share: np.ndarray) -> np.ndarray:
    return ends[0] + (ends[1] - ends[0]) * share


def _rotation(drawn: np.ndarray) -> np.ndarray:
    """Returns (N, 3, 3) rotations of (N, 3) uniform numbers, from an upright hand with its back to the camera."""
    yaw, tilt, roll = np.deg2rad((2 * drawn - 1) * (180.0, TILT, ROLL)).T
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)

    def stacked(*rows: list[np.ndarray]) -> np.ndarray:
        return np.stack([np.stack(row, -1) for row in rows], -2)

    about_y = stacked([np.cos(yaw), zero, np.sin(yaw)], [zero, one, zero], [-np.sin(yaw), zero, np.cos(yaw)])
    about_x = stacked([one, zero, zero], [zero, np.cos(tilt), -np.sin(tilt)], [zero, np.sin(tilt), np.cos(tilt)])
    about_z = stacked([np.cos(roll), -np.sin(roll), zero], [np.sin(roll), np.cos(roll), zero], [zero, zero, one])
    return about_z @ about_x @ about_y @ np.diag([1.0, -1.0, -1.0])
