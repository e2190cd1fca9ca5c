"""``lfl``: less-forgetful learning. On the new pictures the features in front of the head stay near the earlier ones.

It needs no picture of an earlier domain (Jung et al., arXiv 1607.00122). They freeze the last layer too; here the
predictor is trained where the method trains one. The squared difference is divided by the mean square of the earlier
features, so that the weight means the same for every base.
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
class LflConfig(AfterConfig):
    """Options of ``lfl``."""

    weight: float = field(default=0.03, metadata={"at_least": 0})
    """Weight of the relative squared difference from the earlier features; the pose loss has weight 1."""


@register_objective("lfl")
class LessForgetfulLearning(AfterObjective):
    """Pose loss plus the relative squared difference from the earlier adapter's features on the same pictures."""

    Config = LflConfig
    column = "LFL"

    def __call__(self, base: Base, batch: Batch) -> Tensor:
        """Loss of one batch, a scalar."""
        loss, now = self.with_answers(base, batch)
        before = self.answers_before(base, batch).one()[0]
        scale = before.float().square().mean().clamp(min=1e-12)
        term = self.config.weight * mean_square(now.one()[0], before) / scale
        self.terms = {"new domain": loss.detach(), "earlier features": term.detach()}
        return loss + term
