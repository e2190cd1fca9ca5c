"""Puts a second loss on the scale of the first, so that its weight means the same for every base and objective."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEPS = 10
"""Steps in which both losses are measured."""


class LossBalance(nn.Module):
    """Measures two losses in the first steps; checkpoints keep what was measured.

    Heatmap losses are near 0.001 and losses of hands near 1, so a constant weight of a second term is a thousand times
    as much for one as for the other.
    """

    first: Tensor
    second: Tensor
    measured: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("first", "second"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("measured", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Returns the factor on ``second`` that gives it the size of ``first``, a scalar without gradient.

        It follows the means of the first :data:`STEPS` calls in training, and stays as it is afterwards.
        """
        counts = (self.measured < STEPS).float()  # not an `if`, which would wait for the device
        self.first += counts * first.detach().float().abs()
        self.second += counts * second.detach().float().abs()
        self.measured += counts.long()
        return self.first / self.second.clamp(min=1e-8)
