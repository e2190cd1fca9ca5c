"""Predicts and scores a split by the scorer of its task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvtune.evaluation import hand_scoring, pose_scoring
from lvtune.evaluation.task import SCORERS, Scores

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.domains.domain import Split

__all__ = ["hand_scoring", "pose_scoring", "score_split"]


def score_split(base: Base, split: Split, **options: Any) -> Scores:
    """Predicts a split and scores the predictions by the scorer of its task; ``options`` as for `score_poses`."""
    return SCORERS.get(split.task)(base, split, **options)
