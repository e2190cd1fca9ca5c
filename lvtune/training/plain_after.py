"""``plain``: tunes on the new domain alone; nothing keeps the earlier ones. What the other ways are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lvtune.training.after_objective import AfterConfig, Batch
from lvtune.training.objective import register_objective
from lvtune.training.objective_wrapper import ObjectiveWrapper

if TYPE_CHECKING:
    from lvtune.bases.base import Base


@register_objective("plain")
class PlainAfter(ObjectiveWrapper):
    """The pose loss of the new domain."""

    Config = AfterConfig
    column = "fine-tuned"

    def __init__(self, config: AfterConfig | None = None) -> None:
        self.config = config or AfterConfig()

    def __call__(self, base: Base, batch: Batch) -> Tensor:
        """Loss of one batch, a scalar."""
        return self.pose(base, batch)
