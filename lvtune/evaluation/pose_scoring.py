"""Scores poses in the picture on a split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from lvtune.core.errors import DataError
from lvtune.evaluation.inference import predict_evidence, predict_split
from lvtune.evaluation.pixel_errors import P_CUTOFF
from lvtune.evaluation.scores import main_score, score_predictions, scoring_of
from lvtune.evaluation.task import SCORERS, Scores

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.mixed import MixedTable
    from lvtune.data.skeletons import Skeleton
    from lvtune.data.table import PoseTable
    from lvtune.domains import Split

AS_PUBLISHED = "detector boxes as published"
"""Name of the score with detector boxes as the published evaluation reads them."""
_OF_PROTOCOL = ("ap", "ap_details", "box_format", "instances", "parts")


@SCORERS.register("pose2d")
def score_poses(
    base: Base,
    split: Split,
    *,
    adapters: object = ...,
    skeleton: Skeleton | None = None,
    category: Any = "category",
    flip_test: bool = True,
    batch_size: int = 32,
    p_cutoff: float = P_CUTOFF,
) -> Scores:
    """Predicts every instance of a split and scores the predictions.

    Args:
        base: with or without an adapter attached.
        split: from :meth:`lvtune.domains.Domain.open`; where it has a detector's boxes, both protocols are
            scored, and ``values["protocols"]`` holds AP under the name of each.
        adapters: as for :func:`lvtune.use_adapter`.
        skeleton: the key points predicted, where an adapter's differ from the base's.
        category: ``category`` reads each instance's own sentence; a name is used for all; None: the mean sentence.
        flip_test: average with the mirrored picture.
        batch_size: pictures at a time.
        p_cutoff: confidence from which a key point counts in ``px_cutoff``.

    Raises:
        LvtuneError: the split's key points are not the predicted ones.
    """
    skeleton = skeleton or base.skeleton
    if split.table.skeleton.keypoints != skeleton.keypoints:
        theirs = split.table.skeleton
        raise DataError(
            f"data with {len(theirs.keypoints)} key points ({', '.join(theirs.keypoints[:3])}, ...)",
            f"the {len(skeleton.keypoints)} that are predicted ({', '.join(skeleton.keypoints[:3])}, ...)",
            "adapt with a method that trains a predictor for this skeleton, or choose another base",
        )
    options: dict[str, Any] = {
        "skeleton": skeleton, "adapters": adapters, "category": category, "flip_test": flip_test,
        "batch_size": batch_size,
    }  # fmt: skip
    table = cast("PoseTable | MixedTable", split.table)  # of the task pose2d
    seen = predict_evidence(base, split, **options)
    keypoints, scores = seen.keypoints, seen.scores
    values = score_predictions(table, keypoints, scores, p_cutoff=p_cutoff)
    values |= {"main": main_score(split.table.skeleton), "scoring": scoring_of(split.table.skeleton)}
    if split.detected is None:
        return Scores(keypoints, scores, values, evidence=seen)
    detected = _with_boxes(base, split, split.detected, options)
    found = {one["boxes"]: one for one in (values, detected.values)}
    if split.as_published is not None:
        is_same = split.as_published.fingerprint == split.detected.fingerprint
        found[AS_PUBLISHED] = (detected if is_same else _with_boxes(base, split, split.as_published, options)).values
    values["protocols"] = {
        name: {part: one[part] for part in _OF_PROTOCOL if part in one} for name, one in found.items()
    }
    return Scores(keypoints, scores, values, detected=detected, evidence=seen)


def _with_boxes(base: Base, split: Split, table: PoseTable | MixedTable, options: dict[str, Any]) -> Scores:
    """Predicts and scores the persons in a detector's boxes."""
    found = replace(split, table=table, detected=None, as_published=None)
    points = predict_split(base, found, **options)
    values = score_predictions(table, *points, ("ap",)) | {"box_format": table.box_format}
    return Scores(*points, values)
