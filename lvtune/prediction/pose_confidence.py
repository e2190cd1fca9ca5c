"""Gives poses the calibrated confidence of the adapter that predicted them, and leaves out unsure key points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def confidence_notes(used: Mapping[str, Calibration | None], least: float | None = None) -> list[str]:
    """Returns what the scores of a run are, one sentence for each calibration.

    Args:
        used: name of each base or adapter that answered to its calibration; None: it has none.
        least: smallest score that is kept.
    """
    found = {name: one for name, one in used.items() if one is not None}
    notes = [
        f"score: the probability that a point is within {one.within}, as fitted for {name} on {one.pictures} pictures "
        f"({one.data}); raw_score is the heatmap's maximum, and --calibration none gives it alone"
        for name, one in found.items()
    ]
    notes += [
        f"score: 0 for {', '.join(one.not_learnt)}, which no label taught to {name}"
        for name, one in found.items() if one.not_learnt
    ]  # fmt: skip
    without = [name for name in used if name not in found]
    if without and (found or least is not None):
        notes.append(f"score: without a calibration for {', '.join(without)} it is the heatmap's maximum there")
    return notes


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
