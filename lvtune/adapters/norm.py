"""``norm``: tunes the scale and shift of every normalisation, nothing else.

Sources: Frankle et al., Training BatchNorm and only BatchNorm, arXiv 2003.00152; for transformers, LayerNorm tuning,
arXiv 2312.11420. What is kept are differences from the base's weights; they start at zero. BatchNorm statistics stay
the base's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import modules_by_key, plus
from lvtune.adapters.method_registry import register_method
from lvtune.bases.base import Base
from lvtune.bases.changes import AddToOutput, Change, Fold


@dataclass(frozen=True)
class NormConfig:
    """Options of ``norm``."""

    batchnorm: bool = True
    """Tune the head's BatchNorm as well as the encoder's LayerNorm."""


class Shift(nn.Module):
    """Differences from one normalisation's weight and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))


@register_method("norm")
class Norm(Adapter):
    """Scale and shift of LayerNorm and BatchNorm."""

    Config = NormConfig
    linear = True
    defaults: ClassVar[dict[str, Any]] = {"lr": 2e-3, "weight_decay": 0.0}

    def __init__(self, config: NormConfig, base: Base, *, bank: object = None, skeleton: object = None) -> None:
        super().__init__()
        self.config = config
        self.shifts = nn.ModuleDict({key: Shift(len(module.weight)) for key, module in self._sites(base)})

    def _sites(self, base: Base) -> Iterator[tuple[str, Any]]:
        return norms_of(base, self.config.batchnorm)

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields one addition to the output of each normalisation."""
        for key, module in self._sites(base):
            shift = cast(Shift, self.shifts[key])
            yield AddToOutput(module, norm_delta(module, shift), fold=_fold(shift))


def norms_of(base: Base, batchnorm: bool = True) -> Iterator[tuple[str, Any]]:
    """Returns the normalisations of a base under keys for a ``ModuleDict``; ``batchnorm``: the head's as well."""
    return modules_by_key(base, (nn.LayerNorm, nn.BatchNorm2d) if batchnorm else (nn.LayerNorm,))


def _fold(shift: Shift) -> Fold:
    return lambda own, category: plus(own, weight=shift.weight, bias=shift.bias)


def norm_delta(module: nn.Module, shift: Shift) -> Callable[[Tensor], Tensor]:
    """Returns the function of a normalisation's input that ``shift`` adds to its output."""
    if isinstance(module, nn.LayerNorm):
        return lambda x: F.layer_norm(x, module.normalized_shape, shift.weight, shift.bias, module.eps)
    if not isinstance(module, nn.BatchNorm2d):
        raise TypeError(f"{type(module).__name__} is neither LayerNorm nor BatchNorm2d")

    def delta(x: Tensor) -> Tensor:
        own = shift.weight.dtype
        mean = None if module.running_mean is None else module.running_mean.to(own)
        var = None if module.running_var is None else module.running_var.to(own)
        return F.batch_norm(x, mean, var, shift.weight, shift.bias, training=False, eps=module.eps)

    return delta
