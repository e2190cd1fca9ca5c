"""``replay``: shows some training pictures of the earlier domains again, with their labels and with earlier answers.

Each picture of the new domain comes with one of an earlier domain. There the adapter is to find the labelled points,
and its heatmaps are to stay near those it had before the tuning, as in dark experience replay (Buzzega et al., NeurIPS
2020, arXiv 2004.07211), which keeps earlier outputs beside the labels. Ours: the earlier outputs are computed anew for
each augmented picture from the earlier adapter's tensors, so that pictures alone are kept; and the weight of the
earlier pictures is the number of earlier domains, so that each domain counts as much as the new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lvtune.training.after_objective import AfterConfig, AfterObjective, Batch, mean_square
from lvtune.training.objective import register_objective
from lvtune.training.second_pictures import SecondPictures

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.training.objective import ObjectiveContext


@dataclass(frozen=True)
class ReplayConfig(AfterConfig):
    """Options of ``replay``."""

    every: int = field(default=1, metadata={"at_least": 1})
    """One earlier picture comes with so many new ones of a step. 1 takes the most time: about twice that of `plain`."""
    weight: float | None = field(default=None, metadata={"at_least": 0})
    """Weight of the earlier pictures; new ones have weight 1. None: the number of earlier domains."""
    answers: float = field(default=1.0, metadata={"at_least": 0})
    """On earlier pictures: weight of the squared difference from the earlier heatmaps beside the labels, whose weight
    is 1. 0: labels alone."""


@register_objective("replay")
class Replay(AfterObjective):
    """Pose loss on new and on earlier pictures, and the squared difference from earlier heatmaps on the latter."""

    Config = ReplayConfig
    column = "replay (ours)"
    needs_earlier = True

    def prepare(self, context: ObjectiveContext) -> None:
        """Opens the pictures of the earlier domains.

        Raises:
            TrainingError: there are none.
        """
        super().prepare(context)
        assert context.earlier is not None
        earlier: Any = context.earlier()
        self.pool = SecondPictures(earlier, self.config.every, context.seed)
        self.weight = self.config.weight
        if self.weight is None:
            self.weight = float(len(getattr(earlier, "parts", [earlier])))

    def __call__(self, base: Base, batch: Batch) -> Tensor:
        """Loss of one batch, a scalar."""
        step, loss = self.trained.steps.next(), self.pose(base, batch)
        more, factor = self.pool.batch(base, step, len(batch["index"]))
        self.terms = {"new domain": loss.detach()}
        if more is None:
            return loss
        term, now = self.with_answers(base, more)
        if self.config.answers:
            before = self.answers_before(base, more).one()[1]
            term = term + self.config.answers * mean_square(now.one()[1], before)
        term = self.weight * factor * term
        self.terms = {**self.terms, "earlier domains": term.detach()}
        return loss + term
