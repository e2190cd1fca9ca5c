"""``ssf``: scales and shifts the output of every layer of a block.

Paper: Scaling and Shifting Your Features, arXiv 2210.08823. y = (1 + s) ⊙ layer(x) + b, for the layers of each block
and for the final norm. s and b (D,) start at zero, so tuning starts from the base's own answer; the paper draws them
with std 0.02. The patch embedding is not changed: not every family of bases has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import BLOCK_LAYERS, layers_of_blocks, name_of, own_predictor, plus, replaced
from lvtune.adapters.method_registry import register_method
from lvtune.bases.base import Base
from lvtune.bases.changes import Call, Change, Fold, ReplaceForward
from lvtune.data.skeletons import Skeleton


@dataclass(frozen=True)
class SSFConfig:
    """Options of ``ssf``."""

    predictor: bool = True
    """Train a copy of the predictor (the head's last convolution) as well."""


class _Affine(nn.Module):
    """Computes x + s ⊙ x + b: (…, D) -> (…, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(x + self.shift, x, self.scale)


@register_method("ssf")
class SSF(Adapter):
    """A scale and a shift behind each layer of the blocks and, by default, a trained predictor."""

    affines: Any

    Config = SSFConfig
    linear = True
    trains_predictor = True
    defaults: ClassVar[dict[str, Any]] = {"lr": 2e-3, "weight_decay": 0.0}

    def __init__(self, config: SSFConfig, base: Base, *, bank: object = None, skeleton: Skeleton | None = None) -> None:
        super().__init__()
        self.config = config
        self.affines = nn.ModuleDict({key: _Affine(len(module.weight)) for key, module in self._sites(base)})
        self.predictor = own_predictor("ssf", base, skeleton, config.predictor)

    def _sites(self, base: Base) -> Iterator[tuple[str, Any]]:
        for module in (*layers_of_blocks("ssf", base, BLOCK_LAYERS), base.final_norm):
            yield name_of(base, module).replace(".", "/"), module

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields the affine map behind each layer, and a replacement of the predictor."""
        for key, module in self._sites(base):
            affine = cast(_Affine, self.affines[key])
            yield ReplaceForward(module, _behind(affine), fold=_fold(affine))
        if self.predictor is not None:
            yield replaced(base.predictor, self.predictor)


def _fold(affine: _Affine) -> Fold:
    def fold(own: Mapping[str, Tensor], category: str | None) -> dict[str, Tensor]:
        whole = {name: own[name] for name in ("weight", "bias") if name in own}
        scaled = {name: (value.transpose(0, -1) * (1 + affine.scale)).transpose(0, -1) for name, value in whole.items()}
        return scaled | plus(scaled, bias=affine.shift)

    return fold


def _behind(affine: _Affine) -> Callable[..., Tensor]:
    def replace(call: Call, *args: Any, **kwargs: Any) -> Tensor:
        return affine(call.original(*args, **kwargs))

    return replace
