"""Lets an adapter compute in the precision of its own weights, on a base of another precision.

While it is tuned, an adapter keeps float32 weights over a base in bfloat16 or float16 (as in peft): an update of a
thousandth of a weight would be rounded away in half precision. What a module of the base hands to the adapter is
converted to the adapter's type, and what the adapter gives back is converted to the base's. Where both have the same
type, nothing is put in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lvtune.bases.changes import Call
from lvtune.bases.float_types import converted, first_floating, in_dtype, is_autocast


def has_other_types(model: nn.Module, dtype: torch.dtype) -> bool:
    """Returns True if a floating parameter or buffer of ``model`` has another type than ``dtype``."""
    tensors = [*model.parameters(), *model.buffers()]
    return any(value.dtype != dtype for value in tensors if value.is_floating_point())


def keeping_precision(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Returns ``fn`` of ``nn.Module._apply`` (a move, a conversion) without a loss of precision.

    Tensors are moved, and widened, but not made narrower than float32.
    """

    def apply(value: Tensor) -> Tensor:
        found = fn(value)
        least = torch.promote_types(found.dtype, torch.float32)
        if not value.is_floating_point() or found.dtype in (least, value.dtype):
            return found
        return value.to(device=found.device, dtype=least)  # not by way of the narrow type, which rounds

    return apply


def in_own_precision(kind: str, act: Any, dtype: torch.dtype) -> Any:
    """Returns what an adapter of type ``dtype`` does at a site, for a base of another type.

    Args:
        kind: of ``lvtune.patcher.hooks.HOOKS``.
        act: what it does there; rows and tokens are converted by the hook that adds them.
        dtype: of the adapter's weights.
    """
    match kind:
        case "add":
            return _AddInPrecision(act, dtype)
        case "replace":
            return _ReplaceInPrecision(act, dtype)
    return act


class _AddInPrecision:
    """delta(x) with x in the adapter's type; the result in the type of x."""

    __slots__ = ("delta", "dtype")

    def __init__(self, delta: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
        self.delta, self.dtype = delta, dtype

    def __call__(self, x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return self.delta(x)
        return self.delta(x if is_autocast(x) else x.to(self.dtype)).to(x.dtype)


class _ReplaceInPrecision:
    """replace(call, ...) with inputs in the adapter's type, and ``call.original`` and the result in the base's."""

    __slots__ = ("dtype", "replacement")

    def __init__(self, replacement: Callable[..., Any], dtype: torch.dtype) -> None:
        self.replacement, self.dtype = replacement, dtype

    def __call__(self, call: Call, *args: Any, **kwargs: Any) -> Any:
        like = first_floating((args, kwargs))
        if like is None:
            return self.replacement(call, *args, **kwargs)
        outer = like.dtype
        if not is_autocast(like):
            args, kwargs = converted(args, self.dtype), converted(kwargs, self.dtype)
            call = replace(call, original=in_dtype(call.original, lambda: outer))
        return converted(self.replacement(call, *args, **kwargs), outer)
