"""Scores 3D hands on a split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.evaluation.epe import HandResult
from lvtune.evaluation.hand_files import write_hand_files
from lvtune.evaluation.hand_inference import absolute, predict_hands
from lvtune.evaluation.hand_scores import score_hands as score_result
from lvtune.evaluation.pixel_errors import P_CUTOFF
from lvtune.evaluation.task import SCORERS, Scores

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.bases.hand_pose import HandBase
    from lvtune.data.hand_joints import Root
    from lvtune.data.hand_table import HandTable
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split


@dataclass(frozen=True)
class HandScores(Scores):
    """Predictions of hands on a split and their scores."""

    xyz: np.ndarray
    """(N, 21, 3) mm relative to the root: the prediction times the true scale."""
    absolute: np.ndarray
    """(N, 21, 3) mm predicted in camera coordinates."""
    joint0: Root
    """Meaning of joint 0, palm or wrist."""

    @property
    def main(self) -> str:
        """Key of the score that gap and retention are computed from: the area under the PCK curve."""
        return "auc@50"

    def headline(self) -> dict[str, float | None]:
        """Returns mean errors in mm; areas under the PCK curve and F-scores in percent."""
        variants, aligned = self.values["variants"], (self.values["freihand"] or {}).get("aligned") or {}
        return {
            "auc@50": _percent(self.values["auc"]),
            "epe": self.values["epe"],
            "epe_procrustes": variants["procrustes"]["epe"],
            "auc@50_procrustes": _percent(variants["procrustes"]["auc"]),
            "f@5": _percent(aligned.get("f@5")),
            "f@15": _percent(aligned.get("f@15")),
        }

    def per_joint(self) -> dict[str, float | None]:
        """Returns the mean error of each joint in mm."""
        return self.values["per_joint"]["root_gtscale"]

    def write(self, folder: Path) -> list[Path]:
        """Writes a table of joints, and FreiHAND's ``pred.json``."""
        return write_hand_files(folder, self.values, self.absolute, joint0=self.joint0)

    def curves(self) -> dict[str, Any] | None:
        """Returns PCK curves: ``mm`` (T,) thresholds, and name to shares (T,); None without 3D labels."""
        return self.values["pck_curve"] if self.values["hands"] else None


@SCORERS.register("hand3d")
def score_hands(
    base: Base,
    split: Split,
    *,
    adapters: object = ...,
    skeleton: Skeleton | None = None,
    category: Any = "category",
    flip_test: bool = True,
    batch_size: int = 32,
    p_cutoff: float = P_CUTOFF,
) -> HandScores:
    """Predicts every hand of a split and scores the predictions; arguments as of :func:`score_poses`.

    ``flip_test`` has no effect: the mirror image of a hand is a hand of the other side, which the network may never
    have seen. Nor has ``p_cutoff``: errors of hands are in mm.

    Raises:
        LvtuneError: the base predicts no hands.
    """
    if base.task != split.task:
        raise UsageError(
            f"base {base.name} on hands in 3D", "a base that lifts to 3D, such as hand3d-vit",
            "choose --base hand3d-vit, or a domain of people",
        )  # fmt: skip
    hand_base, table = cast("HandBase", base), cast("HandTable", split.table)  # of the task hand3d
    hands = predict_hands(hand_base, split, adapters=adapters, category=category, batch_size=batch_size)
    scale, camera, truth = (table.column(name) for name in ("scale", "camera", "xyz"))
    in_camera = absolute(hands, scale, camera)
    xyz = np.asarray(hands.xyz)
    values = score_result(HandResult(truth, xyz, scale, in_camera))
    relative = xyz * scale[:, None, None]
    return HandScores(hands.keypoints, hands.scores, values, relative, in_camera, cast("Root", table.joint0))


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
