"""``heatmap``: mean squared error of heatmaps, the plain objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from lvtune.patcher.attaching import use_adapter
from lvtune.training.losses import keypoint_mse
from lvtune.training.objective import Objective, register_objective

if TYPE_CHECKING:
    from lvtune.bases.base import Base


@dataclass(frozen=True)
class HeatmapConfig:
    """Options of ``heatmap``: none."""


@register_objective("heatmap")
class HeatmapObjective(Objective):
    """Mean squared error between predicted and encoded heatmaps, weighted by visibility."""

    Config = HeatmapConfig

    def __init__(self, config: HeatmapConfig | None = None) -> None:
        self.config = config or HeatmapConfig()

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch of :class:`lvtune.data.dataset.PoseDataset`, a scalar."""
        with use_adapter(base, category=batch["category"]):
            heatmaps = base(batch["pixel_values"])  # (B, K, h, w)
        target, weight = base.codec.encode(batch["keypoints"], batch["visible"])
        return keypoint_mse(heatmaps, target, weight)

    def empty_loss(self, base: Base, batch: dict) -> float:
        """Loss of an empty answer to a batch: all heatmaps zero."""
        target, weight = base.codec.encode(batch["keypoints"], batch["visible"])
        return float(keypoint_mse(target.new_zeros(target.shape), target, weight))
