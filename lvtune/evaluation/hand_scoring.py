"""Scores of 3D hands on a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lvtune.errors import LvtuneError
from lvtune.evaluation.evaluate import SCORERS, Scores
from lvtune.evaluation.hand_inference import absolute, predict_hands

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split

HEADLINE = ("epe", "epe_procrustes", "auc", "auc_procrustes", "f@5", "f@15")


@dataclass(frozen=True)
class HandScores(Scores):
    """Predictions of hands on a split and what they score."""

    xyz: np.ndarray
    """(N, 21, 3) mm relative to the root: what was predicted, times the true scale."""

    main: ClassVar[str] = "auc"

    def headline(self) -> dict[str, float | None]:
        """Mean errors in mm, and what is in percent: areas under the curve and F-scores."""
        return {name: self.values.get(name) for name in HEADLINE}


@SCORERS.register("hand3d")
def score_hands(
    base: Base,
    split: Split,
    *,
    adapters: object = ...,
    skeleton: Skeleton | None = None,
    prompt: str | None = "category",
    flip_test: bool = True,
    batch_size: int = 32,
) -> HandScores:
    """Predicts every hand of a split and scores the predictions; see :func:`lvtune.evaluation.evaluate.score_poses`.

    ``flip_test`` changes nothing: the mirror image of a hand is a hand of the other side, which the network may never
    have seen.

    Raises:
        LvtuneError: the base predicts no hands.
    """
    from lvtune.evaluation.hand_metrics import hand_scores

    if base.task != split.task:
        raise LvtuneError(
            f"base {base.name} on hands in 3D", "a base that lifts to 3D, such as hand3d-vit",
            "choose --base hand3d-vit, or a domain of people",
        )  # fmt: skip
    hands = predict_hands(base, split, adapters=adapters, prompt=prompt, batch_size=batch_size)
    scale, camera, truth = (split.table.column(name) for name in ("scale", "camera", "xyz"))
    relative = hands.xyz * scale[:, None, None]
    placed = absolute(hands, scale, camera)
    values = hand_scores(relative, truth, placed, split.table.skeleton.keypoints)
    return HandScores(hands.keypoints, hands.scores, values, relative)
