"""Draws many persons or animals over one picture: thin where they are small, paler where the estimator is unsure.

Colours are those of Okabe and Ito, which readers with any kind of colour vision can tell apart: orange is left, sky
blue is right, green is the middle. A skeleton without sides gets a colour for each key point. Boxes and numbers have
the colour of their person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lvtune.data.skeletons import Skeleton
from lvtune.viz.colours import OKABE_ITO
from lvtune.viz.overlay import LEFT, MIDDLE, RIGHT

_CASING = (16, 16, 20)
_SHIFT = 4  # cv2 draws at 1/16 pixel
_PALEST = 0.35  # opacity of a key point that is just drawn
_SURE = 0.7  # score from which on it is drawn in full
_SMALL = 90.0  # pixels; smaller persons get lines of one pixel without a rim
_PER_LINE = 110.0  # pixels of a person's size for each pixel of a line's width
_FAR = 10  # points further away than ten picture sizes are not drawn


@dataclass(frozen=True)
class DrawnPose:
    """One pose to draw."""

    keypoints: np.ndarray
    """(K, 2) x, y in pixels."""
    scores: np.ndarray
    """(K,)."""
    skeleton: Skeleton
    box: Sequence[float] | None = None
    """x, y, width, height in pixels; drawn if given."""
    label: str = ""
    """Words beside it, such as its number."""
    number: int = 0
    """Chooses the colour of box and label."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Returns ``#rrggbb`` as three numbers from 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def keypoint_colours(skeleton: Skeleton) -> list[tuple[int, int, int]]:
    """Returns the RGB colours of the K key points: by side, or one each where the skeleton has no sides."""
    if skeleton.pairs:
        by_side = {"left": LEFT, "right": RIGHT, "middle": MIDDLE}
        return [by_side[side] for side in skeleton.sides]
    return [rgb(OKABE_ITO[place % len(OKABE_ITO)]) for place in range(len(skeleton.keypoints))]


def draw_poses(image: np.ndarray, poses: Sequence[DrawnPose], threshold: float = 0.2) -> np.ndarray:
    """Draws poses over a copy of a picture; the largest first, so that small ones stay visible.

    Args:
        image: (H, W, 3) RGB uint8.
        poses: any number.
        threshold: key points with a lower score are not drawn, nor the links to them.

    Returns:
        (H, W, 3) RGB uint8.
    """
    canvas = np.ascontiguousarray(image).copy()
    for pose in sorted(poses, key=lambda pose: -_extent(pose, threshold)):
        _draw_one(canvas, pose, threshold)
    for pose in poses:  # over all lines
        _draw_box(canvas, pose)
    return canvas


def _extent(pose: DrawnPose, threshold: float) -> float:
    """Size in pixels of the key points that are drawn, else of the box."""
    points = np.asarray(pose.keypoints, float)
    points = points[np.isfinite(points).all(1) & (np.asarray(pose.scores) >= threshold)]
    return float(np.ptp(points, axis=0).max()) if len(points) > 1 else 0.0


def _draw_one(canvas: np.ndarray, pose: DrawnPose, threshold: float) -> None:
    points, scores = np.asarray(pose.keypoints, float), np.asarray(pose.scores, float)
    with np.errstate(invalid="ignore"):
        near = (np.abs(points) < _FAR * max(canvas.shape[:2])).all(1)
        shown = np.isfinite(points).all(1) & near & (scores >= threshold)
    size = min(_extent(pose, threshold), float(max(canvas.shape[:2])))
    width, rim = max(1, round(size / _PER_LINE)), 0 if size < _SMALL else max(1, round(size / _PER_LINE / 3))
    colours = keypoint_colours(pose.skeleton)
    for a, b in pose.skeleton.links:
        if shown[a] and shown[b]:
            opacity = _opacity(min(scores[a], scores[b]), threshold)
            _line(canvas, points[a], points[b], _link_colour(colours, pose.skeleton, a, b), width, rim, opacity)
    radius = 0.9 * width + 0.6
    for place in np.flatnonzero(shown).tolist():
        _dot(canvas, points[place], colours[place], radius, rim, _opacity(scores[place], threshold))


def _opacity(score: float, threshold: float) -> float:
    share = (score - threshold) / max(1e-6, _SURE - threshold)
    return float(_PALEST + (1 - _PALEST) * np.clip(share, 0, 1))


def _link_colour(colours: Sequence[tuple[int, int, int]], skeleton: Skeleton, a: int, b: int) -> tuple[int, int, int]:
    """A link from the middle to a side has the colour of the side; one from side to side, that of the middle."""
    sides = skeleton.sides
    if not skeleton.pairs or sides[a] == sides[b]:
        return colours[b]
    if "middle" in (sides[a], sides[b]):
        return colours[a if sides[b] == "middle" else b]
    return MIDDLE


def _patch(canvas: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The part of the canvas between two corners, and its origin; None where nothing of it is inside."""
    limit = np.array([canvas.shape[1], canvas.shape[0]])
    start, end = np.clip(np.floor(low), 0, limit).astype(int), np.clip(np.ceil(high) + 1, 0, limit).astype(int)
    if (end <= start).any():
        return None
    return canvas[start[1] : end[1], start[0] : end[0]], start


def _line(
    canvas: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple[int, int, int], width: int, rim: int,
    opacity: float,
) -> None:  # fmt: skip
    reach = width + 2 * rim + 2
    part = _patch(canvas, np.minimum(a, b) - reach, np.maximum(a, b) + reach)
    if part is None:
        return
    patch, start = part
    drawn = np.ascontiguousarray(patch)
    drawn = drawn.copy()
    first, last = (np.round((point - start) * 2**_SHIFT).astype(int).tolist() for point in (a, b))
    if rim:
        cv2.line(drawn, first, last, _CASING, width + 2 * rim, cv2.LINE_AA, _SHIFT)
    cv2.line(drawn, first, last, colour, width, cv2.LINE_AA, _SHIFT)
    _blend(patch, drawn, opacity)


def _dot(
    canvas: np.ndarray, point: np.ndarray, colour: tuple[int, int, int], radius: float, rim: int, opacity: float
) -> None:
    reach = radius + rim + 2
    part = _patch(canvas, point - reach, point + reach)
    if part is None:
        return
    patch, start = part
    drawn = np.ascontiguousarray(patch).copy()
    center = tuple(np.round((point - start) * 2**_SHIFT).astype(int).tolist())
    if rim:
        cv2.circle(drawn, center, round((radius + rim) * 2**_SHIFT), _CASING, -1, cv2.LINE_AA, _SHIFT)
    cv2.circle(drawn, center, round(radius * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)
    _blend(patch, drawn, opacity)


def _blend(patch: np.ndarray, drawn: np.ndarray, opacity: float) -> None:
    patch[:] = drawn if opacity >= 1 else cv2.addWeighted(drawn, opacity, np.ascontiguousarray(patch), 1 - opacity, 0)


def _draw_box(canvas: np.ndarray, pose: DrawnPose) -> None:
    """Draws the box and the label, in the colour of the person."""
    colour = rgb(OKABE_ITO[pose.number % len(OKABE_ITO)])
    thin = 1 if max(canvas.shape[:2]) < 1200 else 2
    if pose.box is not None:
        x, y, width, height = (round(value) for value in pose.box)
        cv2.rectangle(canvas, (x, y), (x + width - 1, y + height - 1), colour, thin, cv2.LINE_AA)
    if pose.label:
        _draw_label(canvas, pose, colour)


def _draw_label(canvas: np.ndarray, pose: DrawnPose, colour: tuple[int, int, int]) -> None:
    anchor = _anchor(pose)
    if anchor is None:
        return
    scale = float(np.clip(max(canvas.shape[:2]) / 1600, 0.4, 1.2))
    (wide, high), below = cv2.getTextSize(pose.label, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = int(np.clip(anchor[0], 0, max(0, canvas.shape[1] - wide - 4)))
    y = int(np.clip(anchor[1], high + below + 2, canvas.shape[0] - 1))
    cv2.rectangle(canvas, (x, y - high - below - 2), (x + wide + 4, y), colour, -1)
    # black or white, whichever has more contrast with the colour
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    ink = (0, 0, 0) if bright > 128 else (255, 255, 255)
    cv2.putText(canvas, pose.label, (x + 2, y - below), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)


def _anchor(pose: DrawnPose) -> tuple[float, float] | None:
    """Where a label goes: the box's upper left corner, or just above the points."""
    if pose.box is not None:
        return float(pose.box[0]), float(pose.box[1])
    points = np.asarray(pose.keypoints, float)
    points = points[np.isfinite(points).all(1)]
    return (float(points[:, 0].min()), float(points[:, 1].min()) - 4) if len(points) else None


def draw_heatmap(image: np.ndarray, values: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Lays a heatmap over a copy of a picture: what is bright was seen.

    Args:
        image: (H, W, 3) RGB uint8.
        values: (h, w) of the crop, from 0 to 1.
        center, scale: (2,) of the crop, in pixels of the picture.

    Returns:
        (H, W, 3) RGB uint8. The colours are viridis, which is as bright as the value for every eye.
    """
    height, width = image.shape[:2]
    step = np.asarray(scale, float) / [values.shape[1] - 1, values.shape[0] - 1]
    corner = np.asarray(center, float) - np.asarray(scale, float) / 2
    matrix = np.array([[step[0], 0, corner[0]], [0, step[1], corner[1]]])
    strength = cv2.warpAffine(np.clip(values, 0, 1).astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * strength).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[:, :, ::-1]
    opacity = 0.75 * np.clip(2 * strength, 0, 1)[..., None]
    return (image * (1 - opacity) + colours * opacity).round().astype(np.uint8)
