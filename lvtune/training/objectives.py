"""What is minimised. An objective knows bases and batches, never methods or domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lvtune.patcher import use_adapter
from lvtune.training.losses import keypoint_mse

if TYPE_CHECKING:
    from lvtune.bases.base import Base


class HeatmapObjective:
    """Mean squared error between predicted and encoded heatmaps, weighted by visibility."""

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch of :class:`lvtune.data.dataset.PoseDataset`, a scalar."""
        with use_adapter(base, prompt=batch["category"]):
            heatmaps = base(batch["pixel_values"])  # (B, K, h, w)
        target, weight = base.codec.encode(batch["keypoints"], batch["visible"])
        return keypoint_mse(heatmaps, target, weight)
