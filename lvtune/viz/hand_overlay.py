"""Draws hands over pictures, and in space."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np

from lvtune.data.skeletons import HAND_21
from lvtune.viz.overlay import enlarge

FINGERS = ((214, 39, 40), (255, 157, 30), (60, 180, 75), (23, 150, 214), (148, 103, 189))
"""RGB colours from the thumb to the little finger."""
_CASING, _ROOT, _TRUTH = (16, 16, 20), (235, 235, 235), (0.6, 0.6, 0.62)
_SHIFT = 4  # cv2 draws at 1/16 pixel
_FAR = 10  # joints further away than ten picture sizes are not drawn


def draw_hand(image: np.ndarray, keypoints: np.ndarray, *, longest: int | None = None) -> np.ndarray:
    """Draws a hand over a copy of a picture, each finger in its colour.

    Args:
        image: (H, W, 3) RGB uint8; stays as it is.
        keypoints: (21, 2) x, y in pixels; joints that are not finite, or far outside, are not drawn.
        longest: enlarge a smaller picture until its longer side has this many pixels, so that the lines are fine.

    Returns:
        (H, W, 3) RGB uint8.
    """
    points = np.asarray(keypoints, float)
    if longest is not None:
        image, points = enlarge(image, points, longest)
    canvas = np.ascontiguousarray(image).copy()
    with np.errstate(invalid="ignore"):
        shown = (np.abs(points) < _FAR * max(canvas.shape[:2])).all(1)
    fixed = np.round(np.where(shown[:, None], points, 0) * 2**_SHIFT).astype(int).tolist()
    extent = np.ptp(points[shown], axis=0).max() if shown.any() else 0.0
    width = max(2, round(min(extent, max(canvas.shape[:2])) / 70))
    links = [link for link in HAND_21.links if shown[list(link)].all()]
    style: dict[str, int] = {"lineType": cv2.LINE_AA, "shift": _SHIFT}
    for a, b in links:
        cv2.line(canvas, fixed[a], fixed[b], _CASING, width + 2, **style)
    for a, b in links:
        cv2.line(canvas, fixed[a], fixed[b], _colour(b), width, **style)
    radius = int((0.75 * width + 0.6) * 2**_SHIFT)
    for joint in np.flatnonzero(shown).tolist():
        cv2.circle(canvas, fixed[joint], radius + 2**_SHIFT, _CASING, -1, **style)
        cv2.circle(canvas, fixed[joint], radius, _colour(joint), -1, **style)
    return canvas


def plot_hand(xyz: np.ndarray, size: int = 420, *, truth: np.ndarray | None = None, unit: str = "mm") -> np.ndarray:
    """Draws a hand in space, seen from above and from the right of the camera.

    Args:
        xyz: (21, 3) in ``unit``: x to the right, y down, z away from the camera.
        size: width and height of the picture in pixels.
        truth: (21, 3) labelled joints, drawn in grey.
        unit: unit of the axes.

    Returns:
        (size, size, 3) RGB uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size / 100, size / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot(projection="3d", computed_zorder=False)
    if truth is not None:
        _draw_bones(axes, truth, None)
    _draw_bones(axes, xyz, FINGERS)
    joints = xyz if truth is None else np.concatenate([xyz, truth])
    joints = joints[np.isfinite(joints).all(1)]
    if len(joints):
        middle, reach = (joints.max(0) + joints.min(0)) / 2, max(float(np.ptp(joints, axis=0).max()) / 2, 1e-6)
        for limit, at in zip(
            (axes.set_xlim, axes.set_ylim, axes.set_zlim), (middle[0], middle[2], -middle[1]), strict=True
        ):
            limit(at - reach, at + reach)
    axes.set_xlabel(f"x ({unit})", fontsize=7, labelpad=-6)
    axes.set_ylabel(f"depth ({unit})", fontsize=7, labelpad=-6)
    axes.set_zlabel(f"up ({unit})", fontsize=7, labelpad=-6)
    axes.tick_params(labelsize=6, pad=-3)
    axes.view_init(elev=18, azim=-65)
    axes.set_box_aspect((1, 1, 1), zoom=0.95)
    figure.subplots_adjust(left=0.0, right=0.98, bottom=0.03, top=1.0)
    data = io.BytesIO()
    canvas.print_raw(data)
    return np.frombuffer(data.getvalue(), np.uint8).reshape(size, size, 4)[..., :3].copy()


def _draw_bones(axes: Any, xyz: np.ndarray, colours: tuple[tuple[int, int, int], ...] | None) -> None:
    """Draws lines along the fingers; the axes of the plot are x, depth and up."""
    x, y, z = np.asarray(xyz, float).T
    for finger in range(5):
        chain = [0, *range(4 * finger + 1, 4 * finger + 5)]
        colour = _TRUTH if colours is None else tuple(v / 255 for v in colours[finger])
        line = {"linewidth": 1.4, "markersize": 2} if colours is None else {"linewidth": 2.2, "markersize": 3.5}
        axes.plot(x[chain], z[chain], -y[chain], color=colour, marker="o", **line)


def _colour(joint: int) -> tuple[int, int, int]:
    return _ROOT if joint == 0 else FINGERS[(joint - 1) // 4]
