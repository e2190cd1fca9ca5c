"""Scores of poses in the picture on a split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lvtune.core.errors import LvtuneError
from lvtune.evaluation.inference import predict_split
from lvtune.evaluation.scores import score_predictions
from lvtune.evaluation.task import SCORERS, Scores

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split


@SCORERS.register("pose2d")
def score_poses(
    base: Base,
    split: Split,
    *,
    adapters: object = ...,
    skeleton: Skeleton | None = None,
    category: str | None = "category",
    flip_test: bool = True,
    batch_size: int = 32,
) -> Scores:
    """Predicts every person of a split and scores the predictions.

    Args:
        base: with or without an adapter attached.
        split: what :meth:`lvtune.domains.Domain.open` gives; where it has a detector's boxes, both protocols are
            scored, and ``values["protocols"]`` holds AP under the name of each.
        adapters: as for :func:`lvtune.use_adapter`.
        skeleton: the key points predicted, where an adapter's differ from the base's.
        category: ``category`` reads each person's own sentence; a name is used for all; None: the mean sentence.
        flip_test: average with the mirrored picture.
        batch_size: pictures at a time.

    Raises:
        LvtuneError: the split's key points are not the predicted ones.
    """
    skeleton = skeleton or base.skeleton
    if split.table.skeleton.keypoints != skeleton.keypoints:
        theirs = split.table.skeleton
        raise LvtuneError(
            f"data with {len(theirs.keypoints)} key points ({', '.join(theirs.keypoints[:3])}, ...)",
            f"the {len(skeleton.keypoints)} that are predicted ({', '.join(skeleton.keypoints[:3])}, ...)",
            "adapt with a method that trains a predictor for this skeleton, or choose another base",
        )
    keypoints, scores = predict_split(
        base,
        split,
        skeleton=skeleton,
        adapters=adapters,
        category=category,
        flip_test=flip_test,
        batch_size=batch_size,
    )
    values = score_predictions(split.table, keypoints, scores)
    if split.detected is not None:
        found = replace(split, table=split.detected, detected=None)
        asked = {"skeleton": skeleton, "adapters": adapters, "category": category, "flip_test": flip_test}
        detected = score_predictions(found.table, *predict_split(base, found, batch_size=batch_size, **asked), ("ap",))
        parts = (values, detected | {"box_format": found.table.box_format})
        kept = ("ap", "ap_details", "box_format", "parts")
        values["protocols"] = {part["boxes"]: {k: part[k] for k in kept if k in part} for part in parts}
    return Scores(keypoints, scores, values)
