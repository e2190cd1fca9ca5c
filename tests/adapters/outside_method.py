"""A tuning method as another package would write it: one file, nothing else. Not a test; see test_outside_method.py.

Each block's output is moved along one learned direction, by a learned amount for each position of the width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from lvtune import Adapter, AddToOutput, register_method


@dataclass(frozen=True)
class DriftConfig:
    """Options of ``outside-drift``."""

    scale: float = 1.0
    """Factor on what is added."""


@register_method("outside-drift")
class Drift(Adapter):
    """y -> y + scale * (d . layer_norm(x) + b), with d and b zero at first."""

    Config = DriftConfig
    defaults = {"lr": 2e-2, "weight_decay": 0.0}  # noqa: RUF012

    def __init__(self, config, base, *, bank=None, skeleton=None) -> None:
        super().__init__(config, base, bank=bank, skeleton=skeleton)
        # of two factors one is drawn and one zero, so that the seed matters and a fresh adapter changes nothing
        self.draw = nn.Parameter(torch.randn(len(base.blocks), base.width) * 0.1)
        self.gain = nn.Parameter(torch.zeros(len(base.blocks), base.width))

    def changes(self, base) -> Iterator[AddToOutput]:
        for index, block in enumerate(base.blocks):
            yield AddToOutput(block.fc2, self._added(index))

    def _added(self, index: int):
        return lambda x: (1 + self.draw[index]) * self.gain[index] * self.config.scale * torch.ones_like(x[..., :1])
