"""``lora``: low-rank differences of linear layers, native, with files that peft can read.

Paper: LoRA, arXiv 2106.09685. y = W x + (alpha / r) · B A dropout(x), where B starts at zero. ``_Delta`` computes the
difference, and ``lvtune.patcher.hooks.AddToOutputHook`` adds it to the layer's output. Tensors have peft's names, so
plain ``PeftModel.from_pretrained`` loads the folder.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import layers_of_blocks, name_of, own_predictor, plus, replaced
from lvtune.adapters.low_rank import added
from lvtune.adapters.method_registry import register_method
from lvtune.adapters.summing import fresh, same_options, side_by_side, sum_predictors
from lvtune.bases.base import Base
from lvtune.bases.changes import AddToOutput, Change
from lvtune.core.errors import UsageError
from lvtune.core.step_part import dropout
from lvtune.data.skeletons import Skeleton

_PREFIX = "base_model.model."


@dataclass(frozen=True)
class LoraConfig:
    """Options of ``lora``."""

    r: int = field(default=8, metadata={"at_least": 1})
    """Rank."""
    alpha: float = 16.0
    """Scale; the difference is multiplied by alpha / r."""
    dropout: float = field(default=0.0, metadata={"at_least": 0, "at_most": 1})
    """Dropout on the input of the low-rank path."""
    targets: tuple[str, ...] = ("query", "value")
    """Layers of each block: any of query, key, value, out, fc1, fc2; a matrix that holds several counts once."""
    predictor: bool = True
    """Train a copy of the predictor (the head's last convolution) as well."""


class _Delta:
    """(alpha / r) · B A dropout(x), (…, D) -> (…, D')."""

    __slots__ = ("adapter", "down", "up")

    def __init__(self, adapter: Lora, down: Tensor, up: Tensor) -> None:
        self.adapter, self.down, self.up = adapter, down, up

    def __call__(self, x: Tensor) -> Tensor:
        config = self.adapter.config
        return F.linear(F.linear(self._dropped(x), self.down), self.up) * (config.alpha / config.r)

    def added(self, output: Tensor, x: Tensor) -> Tensor:
        """Returns ``output`` plus the difference, in fewer operations than the sum takes."""
        config = self.adapter.config
        return added(output, self._dropped(x), self.down, self.up, config.alpha / config.r)

    def _dropped(self, x: Tensor) -> Tensor:
        return dropout(x, self.adapter.config.dropout, self.adapter.training)

    def fold(self, own: Mapping[str, Tensor], category: str | None) -> dict[str, Tensor]:
        """W + (alpha / r) · B A."""
        return plus(own, weight=self.up @ self.down * (self.adapter.config.alpha / self.adapter.config.r))


@register_method("lora")
class Lora(Adapter):
    """Low-rank differences and, by default, a trained predictor."""

    Config = LoraConfig
    trains_predictor = True
    defaults: ClassVar[dict[str, Any]] = {"lr": 2e-3, "weight_decay": 0.0}

    def __init__(
        self, config: LoraConfig, base: Base, *, bank: object = None, skeleton: Skeleton | None = None
    ) -> None:
        super().__init__()
        known = ("query", "key", "value", "out", "fc1", "fc2")
        if not 0 < len(config.targets) == len(set(config.targets) & set(known)):
            raise UsageError(
                f"LoRA targets '{','.join(config.targets)}'", f"some of {', '.join(known)}, each once",
                "set --method.targets query,value",
            )  # fmt: skip
        self.config = config
        # no module for each layer: empty modules would take a twentieth of the memory of a thousand adapters
        self.lora_A, self.lora_B = nn.ParameterDict(), nn.ParameterDict()
        for key, linear in self._sites(base):
            self.lora_A[key] = nn.Parameter(torch.empty(config.r, linear.in_features))
            self.lora_B[key] = nn.Parameter(torch.zeros(linear.out_features, config.r))
            nn.init.kaiming_uniform_(self.lora_A[key], a=math.sqrt(5))
        self.predictor = own_predictor("lora", base, skeleton, config.predictor)
        self._predictor_name = name_of(base, base.predictor)

    def _sites(self, base: Base) -> Iterator[tuple[str, Any]]:
        for module in layers_of_blocks("lora", base, self.config.targets):
            yield sys.intern(name_of(base, module).replace(".", "/")), module

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields an addition to each target's output, and a replacement of the predictor."""
        for key, module in self._sites(base):
            delta = _Delta(self, self.lora_A[key], self.lora_B[key])
            yield AddToOutput(module, delta, fold=delta.fold)
        if self.predictor is not None:
            yield replaced(base.predictor, self.predictor)

    @classmethod
    def summed(cls, adapters: Sequence[Lora], weights: Sequence[float], base: Base, rank: int | None = None) -> Lora:
        """Returns Σ wᵢ (alphaᵢ / rᵢ) Bᵢ Aᵢ: exact, with all ranks side by side, or the best one of ``rank``."""
        same_options(adapters, free=("r", "alpha", "dropout", "predictor"))
        r = sum(adapter.config.r for adapter in adapters)
        r = r if rank is None else min(r, rank)
        config = replace(
            adapters[0].config, r=r, alpha=float(r), predictor=any(a.predictor is not None for a in adapters)
        )
        total: Any = fresh(adapters[0], config, base)
        scales = [w * a.config.alpha / a.config.r for w, a in zip(weights, adapters, strict=True)]
        with torch.no_grad():
            for key in total.lora_A:
                down, up = side_by_side([(a.lora_A[key], a.lora_B[key]) for a in adapters], scales, rank)
                total.lora_A[key].copy_(down)
                total.lora_B[key].copy_(up)
        sum_predictors([adapter.predictor for adapter in adapters], weights, total.predictor)
        return total

    def tensors(self) -> dict[str, Tensor]:
        """Returns the tensors under peft's names."""
        out = {}
        for key in self.lora_A:
            for part, values in (("lora_A", self.lora_A), ("lora_B", self.lora_B)):
                out[f"{_PREFIX}{key.replace('/', '.')}.{part}.weight"] = values[key].detach()
        if self.predictor is not None:
            for part, value in self.predictor.state_dict().items():
                out[f"{_PREFIX}{self._predictor_name}.{part}"] = value
        return out

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes tensors under peft's names."""
        with torch.no_grad():
            for name, own in self.tensors().items():
                own.copy_(tensors[name])

    def peft_config(self, base: Base) -> dict[str, Any]:
        """Returns what peft writes as ``adapter_config.json`` for the same adapter."""
        names = [key.replace("/", ".") for key, _ in self._sites(base)]
        return {
            "peft_type": "LORA",
            "task_type": None,
            "base_model_name_or_path": base.spec.hub_id or base.name,
            "inference_mode": True,
            "r": self.config.r,
            "lora_alpha": self.config.alpha,
            "lora_dropout": self.config.dropout,
            "target_modules": names,
            "modules_to_save": [self._predictor_name] if self.predictor is not None else None,
            "bias": "none",
        }
