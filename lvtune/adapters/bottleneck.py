"""``bottleneck``: small MLPs inside each block, beside its MLP or behind its two sublayers.

Papers: Houlsby et al., arXiv 1902.00751 (``sequential``): x + U gelu(D x), where x is the output of the attention or of
the MLP, before it joins the residual. AdaptFormer, arXiv 2205.13535 (``parallel``): s · U relu(D x) of the MLP's input,
added to the MLP's output. U starts at zero as in AdaptFormer (Houlsby draws it near zero), so tuning starts from the
base's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import layers_of_blocks, own_predictor, replaced
from lvtune.adapters.method_registry import register_method
from lvtune.bases.base import Base, Block
from lvtune.bases.changes import AddToOutput, Call, Change, ReplaceForward
from lvtune.core.errors import UsageError
from lvtune.core.step_part import dropout
from lvtune.data.skeletons import Skeleton


@dataclass(frozen=True)
class BottleneckConfig:
    """Options of ``bottleneck``."""

    mode: Literal["parallel", "sequential"] = "parallel"
    """``parallel`` (AdaptFormer): beside each MLP; ``sequential`` (Houlsby): behind each attention and each MLP."""
    width: int = field(default=64, metadata={"at_least": 1})
    """Hidden units of each bottleneck."""
    scale: float = 0.1
    """Factor on what a parallel bottleneck adds; sequential ones use none."""
    dropout: float = field(default=0.0, metadata={"at_least": 0, "at_most": 1})
    """Dropout on the hidden units."""
    predictor: bool = True
    """Train a copy of the predictor (the head's last convolution) as well."""


class _Bottleneck(nn.Module):
    """Computes the part that is added, s · U dropout(act(D x)): (…, D) -> (…, D)."""

    def __init__(self, width: int, config: BottleneckConfig) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, config.width), nn.Linear(config.width, width)
        nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
        for start in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(start)
        self.dropout = config.dropout
        parallel = config.mode == "parallel"
        self.act, self.scale = (F.relu, config.scale) if parallel else (F.gelu, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        hidden = dropout(self.act(self.down(x)), self.dropout, self.training)
        return self.up(hidden) * self.scale


@register_method("bottleneck")
class Bottleneck(Adapter):
    """A bottleneck beside, or two behind, the sublayers of each block and, by default, a trained predictor."""

    blocks: Any

    Config = BottleneckConfig
    trains_predictor = True
    defaults: ClassVar[dict[str, Any]] = {"lr": 1e-3, "weight_decay": 0.0}

    def __init__(
        self, config: BottleneckConfig, base: Base, *, bank: object = None, skeleton: Skeleton | None = None
    ) -> None:
        super().__init__()
        self.config = config
        layers_of_blocks("bottleneck", base, ("fc2",))
        count = 1 if config.mode == "parallel" else 2
        self.blocks = nn.ModuleList(
            nn.ModuleList(_Bottleneck(block.width, config) for _ in range(count)) for block in base.blocks
        )
        self.predictor = own_predictor("bottleneck", base, skeleton, config.predictor)

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields one or two changes in each block, and a replacement of the predictor."""
        for block, modules in zip(base.blocks, self.blocks, strict=True):
            mlp, own = mlp_of(block), cast(nn.ModuleList, modules)
            if self.config.mode == "parallel":
                yield AddToOutput(mlp, own[0])
            else:
                yield ReplaceForward(block.attention, _behind(own[0]))
                yield ReplaceForward(mlp, _behind(own[1]))
        if self.predictor is not None:
            yield replaced(base.predictor, self.predictor)


def _behind(bottleneck: nn.Module) -> Callable[..., Tensor]:
    def replace(call: Call, *args: Any, **kwargs: Any) -> Tensor:
        output = call.original(*args, **kwargs)
        return output + bottleneck(output)

    return replace


def mlp_of(block: Block) -> nn.Module:
    """Returns a block's MLP, from ``norm2`` to the residual: the smallest module with fc1 and fc2 inside.

    Raises:
        UsageError: the block has no such module.
    """
    inside = [m for m in block.layer.modules() if {block.fc1, block.fc2} <= set(m.modules())]
    mlp = min(inside, key=lambda module: len(list(module.modules())))
    if mlp is block.layer or block.norm2 in set(mlp.modules()):
        raise UsageError(
            f"bottlenecks in {type(block.layer).__name__}, which has no module for its MLP",
            "blocks with an MLP in one module", "choose --method lora or --method ssf",
        )  # fmt: skip
    return mlp
