"""Frozen weights in the shorter type of autocast, converted once and kept from step to step.

``torch.autocast`` converts the weights of a frozen layer anew in each call. On a GPU, starting these conversions is a
tenth of what a step starts. Autograd keeps what they give until the backward pass, so that the peak of a step is no
higher where they are kept for longer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Kept:
    """A weight that was converted; it is held, so that no other one gets its id."""

    weight: Tensor
    version: int
    address: int
    short: Tensor

    def is_of(self, weight: Tensor, dtype: torch.dtype) -> bool:
        """Returns True unless the weight has been written or moved since, or another type is wanted."""
        now = (weight._version, weight.data_ptr(), dtype)
        return (self.version, self.address, self.short.dtype) == now and self.short.device == weight.device


_all: ContextVar[dict[int, _Kept] | None] = ContextVar("lvtune_short_weights", default=None)


@contextlib.contextmanager
def kept_short_weights() -> Iterator[None]:
    """Inside the block, :func:`short_weight` converts each weight once."""
    token = _all.set({})
    try:
        yield
    finally:
        _all.reset(token)


def short_weight(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns ``weight`` in ``dtype``, without a gradient; what is returned must not be written.

    Args:
        weight: of a frozen layer.
        dtype: of the products, such as ``torch.bfloat16``.
    """
    kept = _all.get()
    if kept is None or weight.dtype == dtype:
        return weight.detach().to(dtype)
    found = kept.get(id(weight))
    if found is None or not found.is_of(weight, dtype):
        short = weight.detach().to(dtype)
        found = kept[id(weight)] = _Kept(weight, weight._version, weight.data_ptr(), short)
    return found.short
