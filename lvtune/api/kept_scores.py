"""Scores pictures that were kept out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.calibrating import observe
from lvtune.evaluation.inference import predict_evidence
from lvtune.evaluation.metrics import is_less_better

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvtune.bases.base import Base
    from lvtune.config.options import EvaluateOptions
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split


@dataclass(frozen=True)
class KeptScore:
    """What N samples add up to."""

    value: float | None
    """PCK@0.2 in percent, or the mean error in pixels; None without a labelled point."""
    own: np.ndarray
    """(N,) what each adds: its hits, or its error in pixels."""
    points: np.ndarray
    """(N, K, 2) predictions, in pixels."""
    count: float = 1.0
    """Labelled points, which the value is the mean of."""


def together(scores: Sequence[KeptScore]) -> KeptScore:
    """Returns the score of the samples of several scores together."""
    if len(scores) == 1:
        return scores[0]
    count = sum(one.count for one in scores)
    value = sum(one.value * one.count for one in scores if one.value is not None) / count if count else None
    own, points = (np.concatenate([getattr(one, name) for one in scores]) for name in ("own", "points"))
    return KeptScore(value, own, points, count)


def chance_of_difference(one: KeptScore, other: KeptScore) -> float:
    """Returns the standard deviation, by chance, of the difference of two scores of the same samples."""
    difference, total, count = one.own - other.own, float(np.abs(one.own).sum()), len(one.own)
    if one.value is None or not total or count < 2:
        return 0.0
    return abs(one.value) / total * float(difference.std(ddof=1)) * count**0.5


def score_kept(
    base: Base, split: Split, skeleton: Skeleton, main: str, *, category: Any, options: EvaluateOptions
) -> KeptScore:
    """Scores the base, with what is attached to it, on a split.

    Args:
        base: that is asked.
        split: of N samples.
        skeleton: of the key points.
        main: name of the score.
        category: as for :func:`lvtune.evaluation.inference.predict_evidence`.
        options: how predictions are made.
    """
    found = predict_evidence(
        base, split, skeleton=skeleton, category=category, flip_test=options.flip_test, batch_size=options.batch_size
    )
    seen = observe(split, found, skeleton, None)
    if is_less_better(main):
        own = seen.errors * found.heights[:, None]
        count, scale = float(np.isfinite(own).sum()), 1.0
    else:
        own = seen.hits * seen.counted
        count, scale = float(seen.counted.sum()), 100.0
    sums = np.nan_to_num(own, posinf=0.0).sum(1)
    return KeptScore(scale * float(sums.sum()) / count if count else None, sums, found.keypoints, count)
