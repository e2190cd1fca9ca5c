"""Turns poses into what the page shows: pictures of a fitting size, and the table of confidences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from lvtune.prediction.hand_results import draw_all
from lvtune.prediction.predict_options import DrawOptions

if TYPE_CHECKING:
    from lvtune.prediction.pose import Pose

SMALLEST, LARGEST = 720, 1280
"""Pixels of the longer side of a picture that is shown: smaller ones are enlarged, so that the lines are fine."""
UNSURE = DrawOptions().threshold
"""Key points with a lower confidence are not drawn."""
HEAD, WITH_BASE = ("no.", "key point", "confidence", "x", "y"), "base alone"


def drawn(image: np.ndarray, poses: Sequence[Pose], *, with_boxes: bool = False) -> np.ndarray:
    """Returns a picture in the size that is shown, with the skeletons of its poses.

    Args:
        image: (H, W, 3) RGB uint8.
        poses: in pixels of the picture; there may be none.
        with_boxes: draw their boxes too.
    """
    factor = _factor(image)
    sized = image
    if factor != 1:
        size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        sized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    if not poses:
        return sized
    ratio = np.array([sized.shape[1] / image.shape[1], sized.shape[0] / image.shape[0]])
    several = len(poses) > 1
    return draw_all(sized, [_sized(pose, ratio) for pose in poses], DrawOptions(box=with_boxes, ids=several))


def _factor(image: np.ndarray) -> float:
    longest = max(image.shape[:2])
    return min(max(longest, SMALLEST), LARGEST) / longest


def _sized(pose: Pose, ratio: np.ndarray) -> Pose:
    x, y, width, height = np.asarray(pose.bbox) * [*ratio, *ratio]
    points = (np.asarray(pose.keypoints, float) + 0.5) * ratio - 0.5
    # a plot of a hand in space would change the picture's size
    return replace(pose, keypoints=points, bbox=(x, y, width, height), xyz=None)


def confidence_table(poses: Sequence[Pose], alone: Sequence[Pose] | None) -> dict[str, list[Any]]:
    """Returns the table of key points as ``headers`` and ``data``.

    Args:
        poses: of who answers.
        alone: of the base alone in the same boxes, which get a column; None: it is the base that answers. Key points
            that the base does not know have an empty cell.
    """
    head: list[str] = [*HEAD] if alone is None else [*HEAD[:3], WITH_BASE, *HEAD[3:]]
    rows: list[list[str | int | float]] = []
    for place, pose in enumerate(poses):
        other = {} if alone is None else dict(zip(alone[place].skeleton.keypoints, alone[place].scores, strict=True))
        for name, (x, y), score in zip(pose.skeleton.keypoints, pose.keypoints, pose.scores, strict=True):
            before = round(float(other[name]), 2) if name in other else ""
            between = [] if alone is None else [before]
            rows.append([place + 1, name, round(float(score), 2), *between, round(float(x), 1), round(float(y), 1)])
    return {"headers": head, "data": rows}


def sure_line(poses: Sequence[Pose]) -> str:
    """Says how many key points are sure enough to be drawn."""
    scores = np.concatenate([pose.scores for pose in poses]) if poses else np.zeros(0)
    return f"{int((scores >= UNSURE).sum())} of {len(scores)} key points have a confidence of {UNSURE:g} or more; " \
        "only these are drawn."  # fmt: skip


def meaning_of(poses: Sequence[Pose], alone: Sequence[Pose] | None = None) -> str:
    """Says what the numbers of the table are; arguments as of :func:`confidence_table`."""
    is_sure, is_base_sure = (any(pose.raw_scores is not None for pose in some) for some in (poses, alone or poses))
    if is_sure != is_base_sure:
        first, other = ("with the adapter", "the base alone") if is_sure else ("the base alone", "with the adapter")
        return f"Confidence, {first}: the probability that the point is right. {other.capitalize()}: the maximum of " \
            "the heatmap, which is another scale."  # fmt: skip
    if is_sure:
        return "Confidence: the probability that the point is right, on pictures like those that it was fitted on."
    if any(pose.xyz is not None for pose in poses):
        return "Confidence: as the estimator gives it, from 0 to 1; it is not calibrated."
    return "Confidence: the maximum of the key point's heatmap, from 0 to about 1."
