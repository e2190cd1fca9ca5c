"""``full``: fine-tuning of every weight, on a copy.

Parameter-efficient methods are measured against it. The copy replaces the encoder and the head, so the base itself is
not written, and the comparison runs through the same patcher.
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
    replaced,
    tail_changes,
)
from lvtune.adapters.method_registry import register_method
from lvtune.adapters.trained_encoder import depth_scale, drop_branches
from lvtune.bases.base import Base
from lvtune.bases.changes import Change
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.text import counted
from lvtune.data.skeletons import Skeleton
from lvtune.patcher.merging import merge

if TYPE_CHECKING:
    from lvtune.config.options import TrainOptions


@dataclass(frozen=True)
class FullConfig:
    """Options of ``full``."""

    freeze_batchnorm: bool = False
    """True keeps the BatchNorm statistics of the copy as they are; False lets them follow the new pictures."""
    drop_path: float = field(default=0.0, metadata={"at_least": 0, "at_most": 0.99})
    """Share of branches of the encoder's last block that are left out at random in training; it falls to 0 at the first
    block. 0: none. ViTPose's configurations: 0.1 for S, 0.3 for B, 0.5 for L, 0.55 for H."""
    layer_count: int = field(default=0, metadata={"at_least": 0})
    """Number of blocks that `train.layer_decay` assumes; 0: as many as there are. VLPose's configurations: 12 for every
    size."""


@register_method("full")
class Full(Adapter):
    """A trainable copy of the encoder and the head."""

    Config = FullConfig
    linear = True
    trains_predictor = True
    defaults: ClassVar[dict[str, Any]] = {"lr": 2e-4, "weight_decay": 0.1, "layer_decay": 0.8}

    def __init__(
        self, config: FullConfig, base: Base, *, bank: object = None, skeleton: Skeleton | None = None
    ) -> None:
        super().__init__()
        self.config = config
        model = copy_of_model(base)
        self.layers = len(base.blocks)
        self.encoder, _ = base.parts_of(model)
        self.encoder.requires_grad_(True)
        if config.drop_path:
            drop_branches(type(base)(model, base.spec).blocks, config.drop_path)
        self.head = copy_of_head(base, model, skeleton)
        self.tail = copy_of_tail(base, model)
        names = (name for name, _ in self.encoder.named_parameters())
        self._depths = dict(zip(names, base.depths(), strict=True))

    def train(self, mode: bool = True) -> Full:
        """Sets the mode as usual; BatchNorm stays in evaluation if the config says so."""
        super().train(mode)
        if self.config.freeze_batchnorm:
            freeze_batchnorm(self)
        return self

    def undecayed(self) -> Iterable[nn.Parameter]:
        """Returns position embeddings and the like."""
        return embeddings_of(self.encoder)

    def lr_scale(self, name: str, options: TrainOptions) -> float:
        """Returns the layer-wise decay of ViTPose's recipe: early layers of the encoder move less than the head."""
        depth = self._depths.get(name.removeprefix("encoder."), self.layers + 1)
        return depth_scale(depth, self.layers, options.layer_decay, self.config.layer_count)

    def start_misfit(self, start: Adapter) -> LvtuneError | None:
        """Returns why tuning cannot begin at another adapter; any method for the same key points can be merged."""
        if isinstance(start, Full):
            return super().start_misfit(start)
        if start.skeleton.keypoints != self.skeleton.keypoints:
            return UsageError(
                f"a start that predicts {counted(len(start.skeleton.keypoints), 'other key point')}",
                f"{self.skeleton.name or 'these'} ({len(self.skeleton.keypoints)})", "give --start none",
            )  # fmt: skip
        return None

    def take_over(self, start: Adapter, base: Base) -> None:
        """Writes the base with ``start``, an adapter of any method that can be merged, into the copy."""
        misfit = self.start_misfit(start)
        if misfit is not None:
            raise misfit
        if isinstance(start, Full):
            super().take_over(start, base)
            return
        merged = merge(base, start).base
        copies = [(self.encoder, merged.encoder), (self.head, merged.head)]
        for copy, module in [*copies, *zip(self.tail, merged.tail, strict=True)]:
            copy.load_state_dict(module.state_dict())

    def blocks_in_use(self, base: Base) -> list[nn.Module]:
        """Returns the blocks of the copy."""
        names = {id(module): name for name, module in base.encoder.named_modules()}
        return [self.encoder.get_submodule(names[id(block.layer)]) for block in base.blocks]

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields the changes that put the copies in place of the encoder, the head and the modules behind it."""
        for module, copy in ((base.encoder, self.encoder), (base.head, self.head)):
            yield replaced(module, copy)
        yield from tail_changes(base, self.tail)
