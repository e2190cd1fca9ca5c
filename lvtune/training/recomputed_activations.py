"""Activations that are cheap to compute again are not kept for the backward pass, whatever the method and the base.

What GELU and LayerNorm give is read again in the backward pass, for the gradients of the matrices behind them. What
they were given is kept as well, for their own. So their results take memory without need: more than a third of what
a block of a vision transformer keeps. Here they are computed again from what is kept. That takes a few hundredths of a
step, where activation checkpointing takes a third. Results are the same: GELU's bit for bit, LayerNorm's up to
rounding, from the mean and the deviation that it keeps.

Source of the idea: Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models, arXiv 2205.05198.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_NUMBERS = 1 << 14
"""Smaller tensors are kept."""
_is_on: ContextVar[bool] = ContextVar("lvtune_recomputed_activations", default=False)


@contextlib.contextmanager
def recomputed_activations() -> Iterator[None]:
    """Calls inside the block keep no results of GELU and LayerNorm that they can compute again."""
    token = _is_on.set(True)
    try:
        with torch.autograd.graph.saved_tensors_hooks(_pack, _unpack):
            yield
    finally:
        _is_on.reset(token)


class _Again:
    """How to compute a tensor again; the node that made it still has its input when this is asked for."""

    __slots__ = ("compute", "dtype", "node", "shape")

    def __init__(self, node: Any, compute: Callable[[Any], Tensor], shape: torch.Size, dtype: torch.dtype) -> None:
        self.node, self.compute, self.shape, self.dtype = node, compute, shape, dtype


def _pack(value: Tensor) -> Tensor | _Again:
    # called for each tensor that is kept: on a GPU its time counts
    node = value.grad_fn
    if node is None:
        return value
    again = _again(value, node)
    # a result that an operation keeps for itself would hold the operation, and the operation it
    return value.detach() if again is None else again


def is_computed_again(value: Tensor) -> bool:
    """Returns True inside the block for a tensor that an operation wants to keep, and that is not kept there."""
    return _is_on.get() and value.grad_fn is not None and _again(value, value.grad_fn) is not None


def _again(value: Tensor, node: Any) -> _Again | None:
    if value.numel() < LEAST_NUMBERS or not value.is_contiguous():
        return None
    place = value.output_nr
    while node is not None and node.name() in _VIEWS:  # a linear layer keeps its input as rows
        node, place = node.next_functions[0]
    compute = None if node is None or place else _COMPUTED_AGAIN.get(node.name())
    return None if compute is None else _Again(node, compute, value.shape, value.dtype)


def _unpack(kept: Tensor | _Again) -> Tensor:
    if type(kept) is _Again:
        with torch.no_grad():
            # of a bfloat16 tensor a layer norm with weights in float32 is bfloat16, which its parts are not
            return kept.compute(kept.node).reshape(kept.shape).to(kept.dtype)
    return cast(Tensor, kept)


def _gelu(node: Any) -> Tensor:
    return F.gelu(node._saved_self, approximate=node._saved_approximate)


def _layer_norm(node: Any) -> Tensor:
    """From the input, the mean and 1 / deviation that the layer keeps, with as many passes as it takes itself."""
    x, weight, bias = node._saved_input, node._saved_weight, node._saved_bias
    found = (x - node._saved_result1).mul_(node._saved_result2)
    found = found if weight is None else found.mul_(weight)
    return found if bias is None else found.add_(bias)


_VIEWS = ("ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0")
_COMPUTED_AGAIN: dict[str, Callable[[Any], Tensor]] = {"GeluBackward0": _gelu, "NativeLayerNormBackward0": _layer_norm}
"""Name of the operation that made a tensor to a function of its node."""
