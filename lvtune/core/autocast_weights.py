"""Weights of frozen layers in the type of autocast, converted once and kept from step to step.

``torch.autocast`` converts the weights of a frozen layer anew in each call. On a GPU, starting these conversions is a
tenth of what a step starts. Autograd keeps what they give until the backward pass, so that the peak of a step is no
higher where they are kept for longer; with activation checkpointing it would be, and they are not kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor, nn


class _Kept(NamedTuple):
    """A layer that was converted, and what says whether it is still the same."""

    weight: Tensor
    bias: Tensor | None
    state: tuple[object, ...]
    cast: tuple[Tensor, Tensor | None]


_all: ContextVar[dict[int, _Kept] | None] = ContextVar("lvtune_casts", default=None)


@contextlib.contextmanager
def kept_casts() -> Iterator[None]:
    """Inside the block, :func:`cast_linear` converts each layer once."""
    token = _all.set({})
    try:
        yield
    finally:
        _all.reset(token)


def cast_linear(linear: nn.Linear, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Returns W and b of a frozen layer in ``dtype``, without gradients; they must not be written.

    Args:
        linear: the layer.
        dtype: of the products, such as ``torch.bfloat16``.
    """
    weight, bias = linear.weight, linear.bias
    kept = None if torch.is_inference_mode_enabled() else _all.get()  # what is made there takes part in no gradient
    if kept is None or weight.is_inference():
        return _converted(weight, bias, dtype)
    # written in place, replaced, or moved: then it is converted anew
    state = (dtype, weight._version, weight.data_ptr(), None if bias is None else (bias._version, bias.data_ptr()))
    found = kept.get(id(weight))
    if found is None or found.state != state or found.bias is not bias:
        # the weight is held: no other one gets its id
        found = kept[id(weight)] = _Kept(weight, bias, state, _converted(weight, bias, dtype))
    return found.cast


def _converted(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    return weight.detach().to(dtype), None if bias is None else bias.detach().to(dtype)
