"""A tuning method of your own in one file: a learned factor for each channel of the normalisations.

    lvtune adapt --import examples/my_method.py --method my-scale --method.blocks 4

It is the published SSF (arXiv 2210.08823) without its shifts. docs/write-a-method.md explains each part.
"""

from dataclasses import dataclass, field

import torch
from torch import nn

from lvtune import Adapter, ReplaceForward, register_method


@dataclass(frozen=True)
class MyScaleConfig:
    """Options of ``my-scale``; on the command line ``--method.blocks``, in a recipe ``method_options: {blocks: 4}``."""

    blocks: int = field(default=4, metadata={"at_least": 1})
    """Number of blocks to change, counted from the head."""


@register_method("my-scale")
class MyScale(Adapter):
    """y -> (1 + s) * y behind the first normalisation of the last blocks, with s zero at first."""

    Config = MyScaleConfig
    defaults = {"lr": 1e-2, "weight_decay": 0.0}  # noqa: RUF012

    def __init__(self, config, base, *, bank=None, skeleton=None):
        super().__init__(config, base, bank=bank, skeleton=skeleton)
        self.chosen = range(len(base.blocks))[-config.blocks :]
        self.scale = nn.Parameter(torch.zeros(len(self.chosen), base.width))

    def changes(self, base):
        """Says where the method acts; the patcher does it and undoes it."""
        for row, index in enumerate(self.chosen):
            yield ReplaceForward(base.blocks[index].norm, self._scaled(row))

    def _scaled(self, row):
        def forward(call, x):  # (B, N, D) -> (B, N, D)
            y = call.original(x)
            return y * (1 + self.scale[row]).to(y.dtype)

        return forward
