"""Puts hands into the unit that is known of them, and draws poses over pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lvtune.evaluation.hand_inference import Hands, absolute
from lvtune.prediction.predict_options import DrawOptions

if TYPE_CHECKING:
    from lvtune.data.hand_space import HandSpace
    from lvtune.prediction.pose import Pose, PoseHeatmap

_PLOT = 420
_SMALL = 0.15  # share of the picture's longer side below which a person's label is its number alone


def in_space(hands: Hands, sizes: np.ndarray, space: HandSpace) -> tuple[Sequence[np.ndarray | None], str]:
    """Returns joints (N, 21, 3) in the best unit that is known, and its name; None for each pose without depth.

    Args:
        hands: key points in picture pixels.
        sizes: (N, 2) height and width of their pictures.
        space: what is known of size and camera.
    """
    if hands.xyz is None:
        return [None] * len(hands.keypoints), ""
    if space.bone is None:
        return list(hands.xyz), "lengths of the middle finger's first bone, from the root"
    scale = np.full(len(sizes), space.bone)
    if space.focal is None:
        return list(hands.xyz * scale[:, None, None]), "mm, from the root"
    camera = np.zeros((len(sizes), 3, 3))
    camera[:, 0, 0] = camera[:, 1, 1] = space.focal
    camera[:, :2, 2], camera[:, 2, 2] = (sizes[:, ::-1] - 1) / 2, 1
    return list(absolute(hands, scale, camera)), "mm, from the camera"


def draw_all(
    image: np.ndarray,
    poses: Sequence[Pose],
    how: DrawOptions | None = None,
    heatmaps: Sequence[PoseHeatmap] = (),
) -> np.ndarray:
    """Returns a picture with its poses drawn; with hands, a plot of each in space beside it."""
    from lvtune.viz.hand_overlay import draw_hand, plot_hand
    from lvtune.viz.overlay import enlarge

    how = how or DrawOptions()
    if poses[0].xyz is None:
        return _draw_flat(image, poses, how, heatmaps)
    grown, _ = enlarge(image, poses[0].keypoints, _PLOT)
    for pose in poses:
        _, points = enlarge(image, pose.keypoints, _PLOT)
        grown = draw_hand(grown, points)
    plots = [
        plot_hand(pose.xyz - pose.xyz[:1], _PLOT, unit=pose.unit.partition(",")[0])
        for pose in poses
        if pose.xyz is not None
    ]
    return _in_a_row([grown, *plots])


def _draw_flat(
    image: np.ndarray, poses: Sequence[Pose], how: DrawOptions, heatmaps: Sequence[PoseHeatmap]
) -> np.ndarray:
    from lvtune.viz.people import DrawnPose, draw_heatmap, draw_poses

    for heatmap in heatmaps:
        image = draw_heatmap(image, heatmap.values, heatmap.center, heatmap.scale)
    drawn = []
    for place, pose in enumerate(poses):
        number = place + 1 if pose.track is None else pose.track
        is_small = max(pose.bbox[2:]) < _SMALL * max(image.shape[:2])
        score = "" if is_small else f"  {float(np.mean(pose.scores)):.2f}"
        label = f"{number}{score}" if how.ids else ""
        box = pose.bbox if how.box else None
        drawn.append(DrawnPose(pose.keypoints, pose.scores, pose.skeleton, box, label, number - 1))
    return draw_poses(image, drawn, how.threshold)


def _in_a_row(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Puts pictures of any height side by side on white."""
    height = max(picture.shape[0] for picture in pictures)
    rows = [np.pad(p, ((0, height - p.shape[0]), (0, 0), (0, 0)), constant_values=255) for p in pictures]
    return np.concatenate(rows, axis=1)
