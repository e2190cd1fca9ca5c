"""``lwf``: learning without forgetting. On the new pictures the heatmaps stay near those of the adapter before.

It needs no picture of an earlier domain (Li and Hoiem, ECCV 2016, arXiv 1606.09282). They compare class probabilities
at a raised temperature; a heatmap is a regression, so here the mean squared difference is added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from lvtune.training.after_objective import AfterConfig, AfterObjective, Batch, mean_square
from lvtune.training.objective import register_objective

if TYPE_CHECKING:
    from lvtune.bases.base import Base


@dataclass(frozen=True)
class LwfConfig(AfterConfig):
    """Options of ``lwf``."""

    weight: float = field(default=1.0, metadata={"at_least": 0})
    """Weight of the squared difference from the earlier heatmaps; the pose loss has weight 1."""


@register_objective("lwf")
class LearningWithoutForgetting(AfterObjective):
    """Pose loss plus the squared difference from the earlier adapter's heatmaps on the same pictures."""

    Config = LwfConfig
    column = "LwF"

    def __call__(self, base: Base, batch: Batch) -> Tensor:
        """Loss of one batch, a scalar."""
        loss, now = self.with_answers(base, batch)
        term = self.config.weight * mean_square(now.one()[1], self.answers_before(base, batch).one()[1])
        self.terms = {"new domain": loss.detach(), "earlier heatmaps": term.detach()}
        return loss + term
