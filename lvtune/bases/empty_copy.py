"""A copy of a base on torch's meta device: every shape, no data. Adapters are tried on it before memory is taken."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from lvtune.bases.base import Base
from lvtune.core.context import LEDGER

_PATCHED = ("forward", "train", "_apply", "_replicate_for_data_parallel", LEDGER)
"""Attributes that the patcher, or a user, may have set on a module."""


def empty_copy(base: Base) -> Base:
    """Returns a base of the same class and shapes whose tensors lie on the meta device and take no memory.

    The copy carries no hooks and no attached adapters. Its ``copy_model`` is of the same kind, so that methods which
    copy the base take no memory either.
    """
    view = type(base)(_empty(base.model, {}), base.spec)
    view.copy_model = lambda: _empty(view.model, {})  # type: ignore[method-assign]
    return view.freeze()


def _empty(module: Any, seen: dict[int, Any]) -> nn.Module:
    """Returns a module of the same class; modules that are shared in the tree are shared in the copy too."""
    if id(module) in seen:
        return seen[id(module)]
    made = seen[id(module)] = copy.copy(module)
    state = made.__dict__
    for name in _PATCHED:
        state.pop(name, None)
    for name in [name for name in state if name.endswith("_hooks")]:
        state[name] = OrderedDict()
    state["_parameters"] = {name: _without_data(value, seen) for name, value in module._parameters.items()}
    state["_buffers"] = {name: _without_data(value, seen) for name, value in module._buffers.items()}
    state["_modules"] = {
        name: None if child is None else _empty(child, seen) for name, child in module._modules.items()
    }
    return made


def _without_data(value: Tensor | None, seen: dict[int, Any]) -> Tensor | None:
    if value is None:
        return None
    if id(value) not in seen:
        empty = value.detach().to("meta")
        seen[id(value)] = nn.Parameter(empty, requires_grad=False) if isinstance(value, nn.Parameter) else empty
    return seen[id(value)]
