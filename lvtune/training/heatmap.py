"""``heatmap``: mean squared error of heatmaps, the plain objective.

A heatmap is nearly empty: of 64 x 64 places some 50 lie near the key point. Where a key point is new, an empty heatmap
is a local minimum in which a run can stay: raising the values near the point raises them in places that look alike too.
A larger weight near the point takes the run out of it (as in AdaptiveWing's weighted loss map, Wang et al., ICCV 2019,
arXiv 1904.07399).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from lvtune.core.decision import Decision
from lvtune.core.text import counted, plural
from lvtune.patcher.attaching import use_adapter
from lvtune.training.losses import keypoint_mse
from lvtune.training.objective import Objective, register_objective

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.training.objective import ObjectiveContext

FOREGROUND = 10.0
"""Added weight near a key point where key points are new (measured; benchmarks/README.md, "Own data")."""


@dataclass(frozen=True)
class HeatmapConfig:
    """Options of ``heatmap``."""

    foreground: float | None = field(default=None, metadata={"at_least": 0})
    """Added weight near a key point: the squared error is multiplied by 1 + foreground x target. None: 10 where the
    base does not know all key points, else 0."""


@register_objective("heatmap")
class HeatmapObjective(Objective):
    """Mean squared error between predicted and encoded heatmaps, weighted by visibility."""

    Config = HeatmapConfig
    encodes_plainly = True
    foreground: float = 0.0
    """Added weight near a key point; chosen by :meth:`prepare`."""

    def __init__(self, config: HeatmapConfig | None = None) -> None:
        self.config = config or HeatmapConfig()
        self.foreground = self.config.foreground or 0.0

    def prepare(self, context: ObjectiveContext) -> None:
        """Chooses the weight near key points, where nobody has set it."""
        known, own = context.base.skeleton.keypoints, getattr(context.adapter, "skeleton", None)
        new = [] if own is None else [name for name in own.keypoints if name not in known]
        if self.config.foreground is None and new and own is not None:
            self.foreground = FOREGROUND
            why = f"{len(new)} of {counted(len(own.keypoints), 'key point')} "
            why += f"{plural(len(new), 'is', 'are')} new to the base: "
            why += f"{plural(len(new), 'its heatmap', 'their heatmaps')} must not stay empty"
            self.decisions = (Decision("weight near a key point", f"x {1 + FOREGROUND:g} in the loss", why),)

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch of :class:`lvtune.data.dataset.PoseDataset`, a scalar."""
        with use_adapter(base, category=batch["category"]):
            heatmaps = base(batch["pixel_values"])  # (B, K, h, w)
        target, weight = base.codec.encode(batch["keypoints"], batch["visible"])
        return keypoint_mse(heatmaps, target, weight, foreground=self.foreground)

    def empty_loss(self, base: Base, batch: dict) -> float:
        """Loss of an empty answer to a batch: all heatmaps zero."""
        target, weight = base.codec.encode(batch["keypoints"], batch["visible"])
        return float(keypoint_mse(target.new_zeros(target.shape), target, weight, foreground=self.foreground))
