"""Gives poses the calibrated confidence of the adapter that predicted them, and leaves out unsure key points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.prediction.pose import FramePoses, Pose

if TYPE_CHECKING:
    from lvtune.evaluation.calibration import Calibration


def calibrated(
    poses: Sequence[Pose],
    spreads: np.ndarray | None,
    heights: np.ndarray,
    calibration: Calibration | None,
    flip_test: bool,
) -> list[Pose]:
    """Returns poses whose scores are probabilities, with a radius for each key point and an expected OKS.

    Args:
        poses: N, with the maxima of the heatmaps as scores.
        spreads: (N, K) of :func:`lvtune.evaluation.calibration.spread_of`.
        heights: (N,) of the crops, in pixels of the picture.
        calibration: of the adapter that is active; None: the poses stay as they are.
        flip_test: True if the heatmaps are averaged with those of the mirrored picture.
    """
    if calibration is None or spreads is None or not poses:
        return list(poses)
    found = calibration.of(flip_test)(np.stack([pose.scores for pose in poses]), spreads)
    rows = zip(poses, found.scores, found.radii * np.asarray(heights, float)[:, None], found.oks, strict=True)
    return [
        replace(pose, scores=scores, raw_scores=pose.scores, radii=radii, expected_oks=float(oks))
        for pose, scores, radii, oks in rows
    ]


def check_least(least: float | None) -> None:
    """Raises an error for a smallest score that is no probability."""
    if least is not None and not 0 <= least <= 1:
        raise UsageError(f"min_score {least:g}", "a number from 0 to 1", "give min_score=0.5, or leave it out")


def without_unsure(result: FramePoses, least: float | None) -> FramePoses:
    """Returns a frame's poses in which the key points with a score below ``least`` are no numbers; None: all stay."""
    if least is None:
        return result
    poses = [
        replace(pose, keypoints=np.where((np.asarray(pose.scores) < least)[:, None], np.nan, pose.keypoints))
        for pose in result
    ]
    return FramePoses(result.frame, poses, marks=result.marks, heatmaps=result.heatmaps)


def count_unsure(result: FramePoses, least: float | None) -> int:
    """Returns how many key points :func:`without_unsure` leaves out."""
    return 0 if least is None else int(sum((np.asarray(pose.scores) < least).sum() for pose in result))
