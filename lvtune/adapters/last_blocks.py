"""``last-blocks``: trained copies of the encoder's last blocks and of the head; all layers before stay frozen.

Source for which layers to keep: Yosinski et al., How transferable are features in deep neural networks?, arXiv
1411.1792. The copies start as the base's own. No gradient is computed in the layers before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import (
    copy_of_head,
    copy_of_model,
    copy_of_tail,
    embeddings_of,
    freeze_batchnorm,
    layer_scale,
    replaced,
    tail_changes,
)
from lvtune.adapters.method_registry import register_method
from lvtune.bases.base import Base
from lvtune.bases.changes import Change
from lvtune.core.errors import UsageError
from lvtune.core.text import counted
from lvtune.data.skeletons import Skeleton

if TYPE_CHECKING:
    from lvtune.config.options import TrainOptions


@dataclass(frozen=True)
class LastBlocksConfig:
    """Options of ``last-blocks``."""

    blocks: int = field(default=2, metadata={"at_least": 1})
    """Number of the encoder's blocks that are trained, counted from the end."""
    freeze_batchnorm: bool = False
    """True keeps the BatchNorm statistics of the copied head as they are; False lets them follow the new pictures."""


@register_method("last-blocks")
class LastBlocks(Adapter):
    """Trainable copies of the last blocks, the norm behind them and the head."""

    Config = LastBlocksConfig
    linear = True
    trains_predictor = True
    defaults: ClassVar[dict[str, Any]] = {"lr": 2e-4, "weight_decay": 0.1, "layer_decay": 0.8}

    def __init__(
        self, config: LastBlocksConfig, base: Base, *, bank: object = None, skeleton: Skeleton | None = None
    ) -> None:
        super().__init__()
        self.config, self.layers = config, len(base.blocks)
        if config.blocks > self.layers:
            raise UsageError(
                f"the last {counted(config.blocks, 'block')} of {base.name}", f"at most {self.layers}",
                f"set --method.blocks {self.layers} or choose --method full" if self.layers else "choose --method full",
            )  # fmt: skip
        model = copy_of_model(base)
        twin = type(base)(model, base.spec)
        self.head = copy_of_head(base, model, skeleton)
        self.tail = copy_of_tail(base, model)
        self.blocks = nn.ModuleList(block.layer for block in twin.blocks[-config.blocks :])
        self.norm = twin.final_norm
        self.requires_grad_(True)

    def train(self, mode: bool = True) -> LastBlocks:
        """Sets the mode as usual; BatchNorm stays in evaluation if the config says so."""
        super().train(mode)
        if self.config.freeze_batchnorm:
            freeze_batchnorm(self)
        return self

    def undecayed(self) -> Iterable[nn.Parameter]:
        """Returns tables of position biases and the like."""
        return embeddings_of(self.blocks)

    def lr_scale(self, name: str, options: TrainOptions) -> float:
        """Returns the layer-wise decay: the head moves most, and the norm as much as the last block."""
        if name.startswith(("head.", "tail.")):
            return 1.0
        behind = int(name.split(".")[1]) if name.startswith("blocks.") else self.config.blocks - 1
        return layer_scale(self.layers - self.config.blocks + behind + 1, self.layers, options.layer_decay)

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields the changes that put the copies in place of the base's own modules."""
        for block, copy in zip(base.blocks[-self.config.blocks :], self.blocks, strict=True):
            # only its forward: transformers' output-capturing hooks are on the copy as well, and would count twice
            yield replaced(block.layer, copy, copy.forward)
        yield replaced(base.final_norm, self.norm)
        yield replaced(base.head, self.head)
        yield from tail_changes(base, self.tail)
