"""``head``: a trained copy of the head on the frozen encoder.

This is the simplest transfer (linear probing, here with the whole decoder). It shows how much is gained without
changing the features. The copy starts as the base's head, so tuning starts from the base's own answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import (
    copy_of_head,
    copy_of_model,
    copy_of_tail,
    freeze_batchnorm,
    make_predictor,
    replaced,
    tail_changes,
)
from lvtune.adapters.method_registry import register_method
from lvtune.bases.base import Base
from lvtune.bases.changes import Change
from lvtune.data.skeletons import Skeleton


@dataclass(frozen=True)
class HeadConfig:
    """Options of ``head``."""

    part: Literal["head", "predictor"] = "head"
    """What is tuned: the whole ``head``, or only its last convolution, the ``predictor``."""
    freeze_batchnorm: bool = False
    """True keeps the BatchNorm statistics of the copy as they are; False lets them follow the new pictures."""


@register_method("head")
class Head(Adapter):
    """A trainable copy of the head, or of the predictor at its end."""

    Config = HeadConfig
    linear = True
    trains_predictor = True
    defaults: ClassVar[dict[str, Any]] = {"lr": 1e-3, "weight_decay": 0.1}

    def __init__(
        self, config: HeadConfig, base: Base, *, bank: object = None, skeleton: Skeleton | None = None
    ) -> None:
        super().__init__()
        self.config = config
        if config.part == "head":
            model = copy_of_model(base)
            self.copy, self.tail = copy_of_head(base, model, skeleton), copy_of_tail(base, model)
        else:
            self.copy, self.tail = make_predictor(base, skeleton or base.skeleton), None

    def train(self, mode: bool = True) -> Head:
        """Sets the mode as usual; BatchNorm stays in evaluation if the config says so."""
        super().train(mode)
        if self.config.freeze_batchnorm:
            freeze_batchnorm(self)
        return self

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields the change that puts the copy in place of the head or the predictor."""
        if self.tail is None:
            yield replaced(base.predictor, self.copy)
            return
        yield replaced(base.head, self.copy)
        yield from tail_changes(base, self.tail)
