"""Scores pictures that were kept out, and lets the base's own answers stand in for labels where there are none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.calibrating import observe
from lvtune.evaluation.inference import predict_evidence
from lvtune.evaluation.metrics import is_less_better

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.config.options import EvaluateOptions
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split

SEEN = 0.3
"""Peak of a heatmap from which a point that the base finds stands in for a label."""


@dataclass(frozen=True)
class KeptScore:
    """What N samples add up to."""

    value: float | None
    """PCK@0.2 in percent, or the mean error in pixels; None without a labelled point."""
    own: np.ndarray
    """(N,) what each adds: its hits, or its error in pixels."""


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
    return KeptScore(scale * float(sums.sum()) / count if count else None, sums)


class AnsweredTable:
    """A table whose key points are the base's answers; all else is the table's.

    Args:
        table: of N persons.
        keypoints: (N, K, 3).
    """

    def __init__(self, table: Any, keypoints: np.ndarray) -> None:
        self._table, self._keypoints = table, keypoints

    def __getattr__(self, name: str) -> Any:
        if name == "_table":  # not made yet
            raise AttributeError(name)
        return getattr(self._table, name)

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Any:
        return replace(self._table[index], keypoints=self._keypoints[index])

    def column(self, name: str) -> np.ndarray:
        """Returns all N values of a field."""
        return self._keypoints if name == "keypoints" else self._table.column(name)


def answered(base: Base, split: Split, options: EvaluateOptions) -> Split:
    """Returns the split with the bare base's answers in place of labels; points that it does not see stay unlabelled.

    Args:
        base: without an adapter.
        split: of N samples.
        options: how predictions are made.
    """
    found = predict_evidence(
        base, split, adapters=None, skeleton=base.skeleton, category=None, flip_test=options.flip_test,
        batch_size=options.batch_size,
    )  # fmt: skip
    visible = np.where(found.scores >= SEEN, 2.0, 0.0)
    table: Any = AnsweredTable(split.table, np.concatenate([found.keypoints, visible[..., None]], -1))
    return replace(split, table=table)
