"""``vpt``: learnable tokens among those of the picture; encoder frozen, no language.

Paper: Visual Prompt Tuning, arXiv 2203.12119. ``shallow``: P tokens join in front of the first block and are carried
through all blocks. ``deep``: every block has P tokens of its own, which are dropped behind it. Published tokens share
the base's softmax, so they change its answer before any tuning. With ``zero_init``, deep ones have a softmax of their
own behind a gate for each head that starts at zero (LLaMA-Adapter, arXiv 2303.16199).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import own_predictor, replaced
from lvtune.adapters.method_registry import register_method
from lvtune.adapters.visual_prompts import gated_visual_prompts, shallow_visual_prompts, visual_prompt_rows
from lvtune.bases.base import Base, Block
from lvtune.bases.changes import Change
from lvtune.data.skeletons import Skeleton

if TYPE_CHECKING:
    from lvtune.config.options import TrainOptions

_PATCH = 3 * 16 * 16
"""Values in a patch; with the width they set the range in which the published code draws tokens (Xavier's rule)."""


@dataclass(frozen=True)
class VPTConfig:
    """Options of ``vpt``."""

    visual_prompts: int = field(default=20, metadata={"at_least": 1, "was": "prompts"})
    """Number of visual prompts; for each block where they are deep."""
    placement: Literal["deep", "shallow"] = "deep"
    """Where they enter: ``deep`` (every block) or ``shallow`` (the first block, carried through)."""
    zero_init: bool = True
    """Gate deep visual prompts from zero, so that tuning starts at the base's answer; False is as published."""
    gate_lr_scale: float = field(default=10.0, metadata={"at_least": 0})
    """Factor on the learning rate of gates."""
    predictor: bool = True
    """Train a copy of the predictor (the head's last convolution) as well."""


@register_method("vpt")
class VPT(Adapter):
    """Visual prompts and, by default, a trained predictor."""

    gates: Any

    Config = VPTConfig
    trains_predictor = True
    defaults: ClassVar[dict[str, Any]] = {"lr": 2e-3, "weight_decay": 0.0}

    def __init__(self, config: VPTConfig, base: Base, *, bank: object = None, skeleton: Skeleton | None = None) -> None:
        super().__init__()
        base.check_visual_prompts(config.placement)
        self.config = config
        blocks = base.blocks if config.placement == "deep" else base.blocks[:1]
        self.prompts = nn.ParameterList(torch.empty(config.visual_prompts, block.width) for block in blocks)
        for tokens in self.prompts:
            bound = (6 / (_PATCH + tokens.shape[1])) ** 0.5
            nn.init.uniform_(tokens, -bound, bound)
        gated = config.zero_init and config.placement == "deep"
        self.gates = nn.ParameterList(torch.zeros(block.heads) for block in blocks) if gated else None
        self.predictor = own_predictor("vpt", base, skeleton, config.predictor)

    def undecayed(self) -> Iterable[nn.Parameter]:
        """Returns the visual prompts."""
        return self.prompts.parameters()

    def lr_scale(self, name: str, options: TrainOptions) -> float:
        """Returns a larger factor for gates: they are few and start at zero."""
        return self.config.gate_lr_scale if name.startswith("gates.") else 1.0

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields prompts in the blocks (or tokens in front of the first), and a replacement of the predictor."""
        if self.config.placement == "deep":
            for layer, block in enumerate(base.blocks):
                yield self._with_visual_prompts(layer, block)
        else:
            yield from shallow_visual_prompts(base, lambda: self.prompts[0])
        if self.predictor is not None:
            yield replaced(base.predictor, self.predictor)

    def _with_visual_prompts(self, layer: int, block: Block) -> Change:
        prompts, gates = (lambda: self.prompts[layer]), self.gates
        return visual_prompt_rows(block, prompts) if gates is None else gated_visual_prompts(
            block, prompts, lambda: gates[layer]
        )  # fmt: skip
