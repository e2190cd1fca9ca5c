"""``bitfit``: tunes the bias of every layer that has one.

Paper: BitFit, arXiv 2106.10199. What is kept is the difference from the base's bias; it starts at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import modules_by_key, plus
from lvtune.adapters.method_registry import register_method
from lvtune.bases.base import Base
from lvtune.bases.changes import AddToOutput, Change, Fold

_KINDS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.LayerNorm, nn.BatchNorm2d)


@dataclass(frozen=True)
class BitFitConfig:
    """Options of ``bitfit``."""

    norms: bool = True
    """Tune the biases of normalisations as well."""


@register_method("bitfit")
class BitFit(Adapter):
    """Biases of linear layers, convolutions and normalisations."""

    Config = BitFitConfig
    linear = True
    defaults: ClassVar[dict[str, Any]] = {"lr": 2e-3, "weight_decay": 0.0}

    def __init__(self, config: BitFitConfig, base: Base, *, bank: object = None, skeleton: object = None) -> None:
        super().__init__()
        self.config = config
        sites = self._sites(base)
        self.shifts = nn.ParameterDict({key: nn.Parameter(torch.zeros(len(m.bias))) for key, m in sites})

    def _sites(self, base: Base) -> Iterator[tuple[str, Any]]:
        kinds = _KINDS if self.config.norms else _KINDS[:3]
        return ((key, module) for key, module in modules_by_key(base, kinds) if module.bias is not None)

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields one addition to the output of each layer with a bias."""
        for key, module in self._sites(base):
            shift = self.shifts[key]
            yield AddToOutput(module, _delta(module, shift), fold=_fold(shift))


def _fold(shift: Tensor) -> Fold:
    return lambda own, category: plus(own, bias=shift)


def _delta(module: Any, shift: Tensor) -> Callable[[Tensor], Tensor]:
    is_map = isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)
    return lambda x: shift[:, None, None] if is_map else shift
