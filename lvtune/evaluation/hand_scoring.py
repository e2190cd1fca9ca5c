"""Scores of 3D hands on a split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.evaluation.epe import HandResult
from lvtune.evaluation.hand_files import write_hand_files
from lvtune.evaluation.hand_inference import absolute, predict_hands
from lvtune.evaluation.hand_scores import score_hands as score_result
from lvtune.evaluation.task import SCORERS, Scores

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.hand_joints import Root
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split


@dataclass(frozen=True)
class HandScores(Scores):
    """Predictions of hands on a split and what they score; ``values`` holds :meth:`headline` too."""

    xyz: np.ndarray
    """(N, 21, 3) mm relative to the root: what was predicted, times the true scale."""
    placed: np.ndarray
    """(N, 21, 3) mm predicted in camera coordinates."""
    joint0: Root
    """What joint 0 is."""

    main: ClassVar[str] = "auc@50"

    def headline(self) -> dict[str, float | None]:
        """Mean errors in mm; areas under the PCK curve and F-scores in percent."""
        variants, aligned = self.values["variants"], (self.values["freihand"] or {}).get("aligned") or {}
        percent = lambda share: None if share is None else 100 * share  # noqa: E731
        return {
            "auc@50": percent(self.values["auc"]),
            "epe": self.values["epe"],
            "epe_procrustes": variants["procrustes"]["epe"],
            "auc@50_procrustes": percent(variants["procrustes"]["auc"]),
            "f@5": percent(aligned.get("f@5")),
            "f@15": percent(aligned.get("f@15")),
        }

    def per_joint(self) -> dict[str, float | None]:
        """Mean error in mm of each joint."""
        return self.values["per_joint"]["root_gtscale"]

    def write(self, folder: Path) -> list[Path]:
        """A table of joints, and FreiHAND's ``pred.json``."""
        return write_hand_files(folder, self.values, self.placed, joint0=self.joint0)

    def curves(self) -> dict[str, Any] | None:
        """PCK curves: ``mm`` (T,) thresholds, and name to shares (T,); None without 3D labels."""
        return self.values["pck_curve"] if self.values["hands"] else None


@SCORERS.register("hand3d")
def score_hands(
    base: Base,
    split: Split,
    *,
    adapters: object = ...,
    skeleton: Skeleton | None = None,
    category: str | None = "category",
    flip_test: bool = True,
    batch_size: int = 32,
) -> HandScores:
    """Predicts every hand of a split and scores the predictions; as :mod:`lvtune.evaluation.pose_scoring` does.

    ``flip_test`` changes nothing: the mirror image of a hand is a hand of the other side, which the network may never
    have seen.

    Raises:
        LvtuneError: the base predicts no hands.
    """
    if base.task != split.task:
        raise LvtuneError(
            f"base {base.name} on hands in 3D", "a base that lifts to 3D, such as hand3d-vit",
            "choose --base hand3d-vit, or a domain of people",
        )  # fmt: skip
    hands = predict_hands(base, split, adapters=adapters, category=category, batch_size=batch_size)
    scale, camera, truth = (split.table.column(name) for name in ("scale", "camera", "xyz"))
    placed = absolute(hands, scale, camera)
    values = score_result(HandResult(truth, hands.xyz, scale, placed))
    relative = hands.xyz * scale[:, None, None]
    return HandScores(hands.keypoints, hands.scores, values, relative, placed, split.table.joint0)
