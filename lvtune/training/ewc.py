"""``ewc``: elastic weight consolidation. A weight that matters to the earlier domains may move less.

The penalty is weight / 2 x the sum of F (theta - theta*)^2 (Kirkpatrick et al., PNAS 2017, arXiv 1612.00796): theta*
are the adapter's weights when the tuning begins, F is the diagonal of the empirical Fisher information, the mean
squared gradient of the loss of single training pictures of the earlier domains. One penalty stands for all earlier
domains, as in online EWC (Schwarz et al., ICML 2018, arXiv 1805.06370). Ours: F is divided by its mean over all
weights, so that the option ``weight`` means about the same for every method and base.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.core.step_part import computing
from lvtune.core.work_progress import tracked
from lvtune.data.dataset import collate
from lvtune.training.after_objective import AfterConfig, AfterObjective, Batch, adapter_of
from lvtune.training.objective import register_objective
from lvtune.training.second_pictures import on_device_of

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.training.objective import ObjectiveContext


@dataclass(frozen=True)
class EwcConfig(AfterConfig):
    """Options of ``ewc``."""

    weight: float = field(default=1e-3, metadata={"at_least": 0})
    """Weight of the penalty: half of it is multiplied by the sum of F times the squared distance, where F has mean 1
    (how it was chosen: benchmarks/README.md, "Domains in a row")."""
    pictures: int = field(default=64, metadata={"at_least": 1})
    """Earlier pictures from which the weights' importance is estimated, evenly spread over the earlier domains."""


class Importance(nn.Module):
    """Where the weights were, and how much each matters. A checkpoint keeps it, so a resumed run has the same.

    Args:
        adapter: as it is when the tuning begins.
    """

    known: Tensor
    """Whether the importance was estimated."""

    def __init__(self, adapter: nn.Module) -> None:
        super().__init__()
        trained = [(name, value) for name, value in adapter.named_parameters() if value.requires_grad]
        self.names = [name for name, _ in trained]
        for place, (_, value) in enumerate(trained):
            self.register_buffer(f"before_{place}", value.detach().clone())
            self.register_buffer(f"fisher_{place}", torch.zeros_like(value, requires_grad=False))
        self.register_buffer("known", torch.zeros((), dtype=torch.bool))

    def take(self, squares: list[Tensor]) -> None:
        """Takes mean squared gradients, in the order of ``names``, divided by their mean over all weights."""
        total = sum(float(square.double().sum()) for square in squares)
        scale = sum(square.numel() for square in squares) / total if total else 0.0
        for place, square in enumerate(squares):
            getattr(self, f"fisher_{place}").copy_(square * scale)
        self.known.fill_(True)

    def penalty(self, adapter: nn.Module) -> Tensor:
        """Returns the sum of F (theta - theta*)^2 over all weights, a scalar."""
        weights = dict(adapter.named_parameters())
        parts = [
            (getattr(self, f"fisher_{place}") * (weights[name] - getattr(self, f"before_{place}")).square()).sum()
            for place, name in enumerate(self.names)
        ]
        return torch.stack(parts).sum()


@register_objective("ewc")
class ElasticWeightConsolidation(AfterObjective):
    """Pose loss plus the squared distance of each weight from where it was, times its importance."""

    Config = EwcConfig
    column = "EWC"
    needs_earlier = True

    def prepare(self, context: ObjectiveContext) -> None:
        """Notes the weights, and opens the pictures of the earlier domains.

        Raises:
            TrainingError: there are none.
        """
        super().prepare(context)
        assert context.adapter is not None and context.earlier is not None
        self.trained = Importance(context.adapter).to(context.base.device)
        self.pool: Any = context.earlier()

    def __call__(self, base: Base, batch: Batch) -> Tensor:
        """Loss of one batch, a scalar."""
        adapter = adapter_of(base)
        if not self.trained.known:  # the first step: the adapter is as it was
            self.estimate(base, adapter)
        loss = self.pose(base, batch)
        term = self.config.weight / 2 * self.trained.penalty(adapter)
        self.terms = {"new domain": loss.detach(), "distance from the earlier weights": term.detach()}
        return loss + term

    def estimate(self, base: Base, adapter: nn.Module) -> None:
        """Estimates how much each weight matters to the earlier domains, from the gradients of single pictures."""
        weights = dict(adapter.named_parameters())
        wanted = [weights[name] for name in self.trained.names]
        count = min(self.config.pictures, len(self.pool))
        squares, was_training = [torch.zeros_like(value) for value in wanted], adapter.training
        adapter.eval()  # no dropout: the same pictures give the same importance
        try:
            places = [i * len(self.pool) // count for i in range(count)]
            for place in tracked(places, "looking which weights matter to the earlier domains", count):
                one = on_device_of(base, collate([self.pool[place]]))
                with computing(None), torch.enable_grad():
                    gradients = torch.autograd.grad(self.pose(base, one), wanted, allow_unused=True)
                for square, gradient in zip(squares, gradients, strict=True):
                    if gradient is not None:
                        square.add_(gradient.detach().square(), alpha=1 / count)
        finally:
            adapter.train(was_training)
        self.trained.take(squares)
