"""``hand``: heatmaps and 3D joints of hands.

Source: Lee et al., Image-free Domain Generalization via CLIP for 3D Hand Pose Estimation, WACV 2023, equations 2 and 3
(mean squared errors of maps and of joints, both with weight 1; Adam with a constant 1e-4). Joints are relative to the
root, in lengths of the reference bone. The maps of every stage count, as pose machines are trained (arXiv 1602.00134).
Canonical joints and rotation can be compared separately, as Zimmermann & Brox do (arXiv 1705.01389).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from lvtune.core.errors import TrainingError
from lvtune.core.step_part import weight_of_mean
from lvtune.data.hand_frame import normalise, to_canonical
from lvtune.patcher.attaching import use_adapter
from lvtune.training.losses import keypoint_mse
from lvtune.training.objective import Objective, register_objective

if TYPE_CHECKING:
    from lvtune.bases.hand_nets import HandOutput
    from lvtune.bases.hand_pose import HandBase

IN_SPACE = "hands in space"


@dataclass(frozen=True)
class HandConfig:
    """Options of ``hand``."""

    heat: float = field(default=1.0, metadata={"at_least": 0})
    """Weight of the heatmaps' error."""
    pose: float = field(default=1.0, metadata={"at_least": 0})
    """Weight of the 3D error, in squared lengths of the reference bone."""
    stages: Literal["all", "last"] = "all"
    """Heatmaps that count: the sum over all stages, or those of the last stage."""
    target: Literal["xyz", "canonical"] = "xyz"
    """What is compared in 3D: xyz, the joints in camera axes; canonical, shape and rotation separately."""


@register_objective("hand")
class HandObjective(Objective):
    """Mean squared errors of heatmaps and of 3D joints; hands without 3D labels count only through their heatmaps."""

    Config = HandConfig

    def __init__(self, config: HandConfig | None = None) -> None:
        self.config = config or HandConfig()

    def __call__(self, base: HandBase, batch: dict) -> Tensor:
        """Loss of one batch of hands, a scalar; see :class:`lvtune.data.hand_dataset.HandDataset` for its entries.

        Raises:
            TrainingError: the base predicts no hands, or the samples have no 3D joints.
        """
        is_hand = base.task == "hand3d"
        if not is_hand or "xyz" not in batch:
            fault = "samples without 3D joints" if is_hand else f"base {base.name}"
            raise TrainingError(
                f"objective hand with {fault}", "a base such as hand3d-vit and a domain such as hand-figures",
                "choose --objective heatmap",
            )  # fmt: skip
        with use_adapter(base, category=batch["category"]):
            output = base.hands(batch["pixel_values"], batch["side"])
        return self.config.heat * self.heat(base, output, batch) + self.config.pose * self.pose(output, batch)

    def heat(self, base: HandBase, output: HandOutput, batch: dict) -> Tensor:
        """Error of the heatmaps (equation 2)."""
        target, weight = base.codec.encode(batch["keypoints"], batch["visible"])
        stages = output.stages if self.config.stages == "all" else output.stages[-1:]
        return torch.stack([keypoint_mse(maps, target, weight) for maps in stages]).sum()

    def pose(self, output: HandOutput, batch: dict) -> Tensor:
        """Error of the joints (equation 3); 0 where no hand has 3D labels."""
        known = _known(batch)
        if not known.any():
            return output.xyz.sum() * 0.0
        return self._pose_of(known, output, batch) * weight_of_mean(IN_SPACE)

    def counts(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """Returns the number of hands with 3D labels, which the 3D error is a mean over."""
        return {IN_SPACE: float(_known(batch).sum())} if "xyz" in batch else {}

    def _pose_of(self, known: Tensor, output: HandOutput, batch: dict) -> Tensor:
        side = batch["side"][known]
        target, _ = normalise(batch["xyz"][known].float(), batch["scale"][known].float())
        if self.config.target == "xyz":
            return _mse(output.xyz[known], target)
        canonical, rotation = to_canonical(target, side)
        return _mse(output.canonical[known], canonical) + _mse(output.rotation[known], rotation)


def _known(batch: Mapping[str, Any]) -> Tensor:
    """(B,) True for hands with 3D labels."""
    return batch["xyz"].isfinite().flatten(1).all(1)


def _mse(found: Tensor, target: Tensor) -> Tensor:
    return torch.nn.functional.mse_loss(found.float(), target)
