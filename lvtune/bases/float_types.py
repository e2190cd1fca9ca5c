"""Conversion between the floating types of a base and of an adapter, which may differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lvtune.bases.nested_outputs import per_entry


def converted(value: Any, dtype: torch.dtype) -> Any:
    """Converts every floating tensor in a structure to ``dtype``; everything else stays as it is."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, Mapping | tuple | list):
        return per_entry(lambda entry: converted(entry, dtype), value) if len(value) else value
    return value


def first_floating(value: Any) -> Tensor | None:
    """Returns the first floating tensor in a structure, or None."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, Mapping):
        value = tuple(value.values())
    elif not isinstance(value, tuple | list):
        return None
    return next((found for found in map(first_floating, value) if found is not None), None)


def is_autocast(x: Tensor) -> bool:
    """Returns True where ``torch.autocast`` chooses the floating type of each operation."""
    return torch.is_autocast_enabled(x.device.type)


def autocast_type(x: Tensor) -> torch.dtype | None:
    """Returns the type that ``torch.autocast`` computes products in; None outside of it, and for float64."""
    is_on = is_autocast(x) and x.dtype != torch.float64
    return torch.get_autocast_dtype(x.device.type) if is_on else None


def version_of(x: Tensor) -> int:
    """Returns a number that changes when ``x`` is written in place; -1 for tensors of inference mode."""
    return -1 if x.is_inference() else x._version


def in_dtype(forward: Callable[..., Any], dtype: Callable[[], torch.dtype]) -> Callable[..., Any]:
    """Lets ``forward``, whose weights are ``dtype()``, take inputs of any floating type; the result is of that type.

    Nothing is converted where the types agree, or where ``torch.autocast`` chooses them.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        like, own = first_floating((args, kwargs)), dtype()
        if like is None or like.dtype == own or is_autocast(like):
            return forward(*args, **kwargs)
        return converted(forward(*converted(args, own), **converted(kwargs, own)), like.dtype)

    return run
