"""The parts of a base that methods attach to: transformer blocks of the encoder, up-sampling stages of the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from lvtune.bases.changes import Change, ExtendKeyValue
from lvtune.core.errors import UsageError


@dataclass(frozen=True)
class Block:
    """The parts of one transformer block that methods attach to. All of them are modules of the base.

    ``key`` and ``value`` map (B, N, D) to (B, N, D); rows of visual prompts can be appended to their outputs.
    ``attention`` takes what ``norm`` gives and ends with the projection ``out``. D may differ from block to block
    (pyramids). B may be the number of windows of all pictures (Swin).

    One matrix may hold two or three of ``query``, ``key`` and ``value`` (timm). These fields are then one module, and
    ``rows`` says which of its rows belong to which.
    """

    layer: Any
    norm: Any
    attention: Any
    heads: int
    query: Any
    key: Any
    value: Any
    out: Any
    norm2: Any
    fc1: Any
    fc2: Any
    key_norm: Any = None
    """Normalisation in front of ``key`` and ``value``, where it is not ``norm``."""
    rows: Mapping[str, slice] = field(default_factory=dict)
    """Rows of ``query``, ``key``, ``value`` in a matrix that they share; a name that is missing has all rows."""

    @property
    def width(self) -> int:
        """D, the width of the block's tokens."""
        return self.query.in_features

    def linear(self, part: str, like: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Returns the weight (D, D) and bias (D,) of ``query``, ``key``, ``value`` or ``out``.

        Args:
            part: one of these names.
            like: a tensor whose floating type they are converted to; None: they stay as they are.

        Raises:
            UsageError: the layer is quantised, so its weights cannot be multiplied with.
        """
        module, rows = getattr(self, part), self.rows.get(part, slice(None))
        if not module.weight.is_floating_point():
            raise UsageError(
                f"visual prompts for a base whose {part} layers have {module.weight.dtype} weights",
                "weights of a floating type", "choose --method lora, which only adds to what such layers give",
            )  # fmt: skip
        dtype = module.weight.dtype if like is None else like.dtype
        bias = None if module.bias is None else module.bias[rows].to(dtype)
        return module.weight[rows].to(dtype), bias

    def row(self, part: str, tokens: Tensor) -> Tensor:
        """Returns Linear(LN(p)), what ``key`` or ``value`` makes of tokens p (P, D) in front of the block."""
        norm, like = self.key_norm or self.norm, tokens
        weight, bias = (None if value is None else value.to(like.dtype) for value in (norm.weight, norm.bias))
        return F.linear(F.layer_norm(tokens, norm.normalized_shape, weight, bias, norm.eps), *self.linear(part, like))

    def extend(self, key_rows: Callable[[], Tensor], value_rows: Callable[[], Tensor]) -> Change:
        """Returns the change that lets every query of the block see further rows (P, D) of keys and values."""
        return ExtendKeyValue(self.key, self.value, key_rows, value_rows, self.attention)


def with_weights_of(own: Module, fresh: Module, like: Tensor) -> Module:
    """Fills a fresh model of the same architecture with the weights of ``own``, compiled or not.

    Args:
        own: the model to copy.
        fresh: what is filled, and returned.
        like: a weight of ``own``, whose device and floating type the copy gets.

    Raises:
        UsageError: layers of ``own`` were exchanged (quantised, say), so that the fresh model has others.
    """
    state = {name.replace("_orig_mod.", ""): value for name, value in own.state_dict().items()}
    fresh.to(device=like.device, dtype=like.dtype if like.is_floating_point() else None)
    wanted = fresh.state_dict()
    names = sorted(state.keys() ^ wanted.keys())
    names += [n for n in state.keys() & wanted.keys() if state[n].shape != wanted[n].shape]
    names += [n for n in state.keys() & wanted.keys() if state[n].is_floating_point() != wanted[n].is_floating_point()]
    if names:
        raise UsageError(
            f"a copy of a base whose layers were exchanged ({names[0]})", "the layers that its class makes",
            "choose a method that only adds to the base's layers, such as lora; or load the base as it was",
        )  # fmt: skip
    fresh.load_state_dict(state)
    return fresh


def depths_of(encoder: Module, blocks: Sequence[Block]) -> list[int]:
    """Returns the depth of each of an encoder's parameters, in their order.

    The depth is 0 in front of the first block, i + 1 in block i and L + 1 behind the last. Parameters between two
    blocks (patch merging) have the depth of the block before. Without blocks, all have the depth behind the last.
    """
    inside = {id(p): i + 1 for i, block in enumerate(blocks) for p in block.layer.parameters()}
    depths, last = [], 0
    for parameter in encoder.parameters():
        last = inside.get(id(parameter), last if last < len(blocks) else len(blocks) + 1)
        depths.append(last)
    return depths


@dataclass(frozen=True)
class Stage:
    """One up-sampling stage of the head.

    Attributes:
        forward: the base's own frozen computation, (B, C, h, w) -> (B, C', s·h, s·w).
        auxiliary: makes a new trainable stage of the same shapes (VLPose's auxiliary branch).
        channels: C' of the output.
    """

    forward: Callable[[Tensor], Tensor]
    auxiliary: Callable[[], Module]
    channels: int
