"""What is minimised. An objective knows bases and batches, never methods or domains.

An objective is a class with a ``Config`` dataclass (an option a field), registered under a name; an instance maps
(base, batch) to a scalar loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from lvtune.patcher import use_adapter
from lvtune.registry import Registry
from lvtune.training.losses import keypoint_mse

if TYPE_CHECKING:
    from lvtune.bases.base import Base

OBJECTIVES: Registry[type] = Registry("objective", "lvtune adapt --help")
"""Name to class."""


def register_objective(name: str) -> Callable[[type], type]:
    """Decorator that makes an objective known to recipes under ``name``, from other packages too."""

    def add(cls: type) -> type:
        cls.objective = name
        return OBJECTIVES.register(name)(cls)

    return add


@dataclass(frozen=True)
class HeatmapConfig:
    """Options of ``heatmap``: none."""


@register_objective("heatmap")
class HeatmapObjective:
    """Mean squared error between predicted and encoded heatmaps, weighted by visibility."""

    Config = HeatmapConfig

    def __init__(self, config: HeatmapConfig | None = None) -> None:
        self.config = config or HeatmapConfig()

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch of :class:`lvtune.data.dataset.PoseDataset`, a scalar."""
        with use_adapter(base, prompt=batch["category"]):
            heatmaps = base(batch["pixel_values"])  # (B, K, h, w)
        target, weight = base.codec.encode(batch["keypoints"], batch["visible"])
        return keypoint_mse(heatmaps, target, weight)


# files itself under its name
from lvtune.training import hand_objective  # noqa: E402, F401
