"""The primitive changes that an adapter may make to a base; :mod:`lvtune.patcher.hooks` carries them out.

A change that comes to other weights of its module says so (``fold``), and then :mod:`lvtune.patcher.merging` can
write it into a copy of the base.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Fold = Callable[[Mapping[str, Tensor], str | None], Mapping[str, Tensor]]
"""A module's parameters and buffers by name, and a category (None: the mean of the sentences), to those with which the
module would do by itself what the change makes it do; what stays may be left out. It writes to none of them."""


@dataclass(frozen=True, eq=False)
class AddToOutput:
    """``module(x)`` becomes ``module(x) + delta(x)``.

    ``delta`` maps the module's input to a tensor that broadcasts against its output.
    """

    module: nn.Module
    delta: Callable[[Tensor], Tensor]
    fold: Fold | None = None


@dataclass(frozen=True, eq=False)
class ExtendKeyValue:
    """Appends rows (P, D) to what an attention's ``key`` and ``value`` give, (B, N, D) -> (B, N+P, D).

    The queries, and so the number of tokens, stay as they are. Where one matrix gives both (``key is value``), its
    output is (B, N, 2D), the keys first.
    """

    key: nn.Module
    value: nn.Module
    key_rows: Callable[[], Tensor]
    value_rows: Callable[[], Tensor]
    attention: nn.Module | None = None
    """The module around both, in which keys and values stay. A batch of several adapters calls it for each of them,
    since they may append different numbers of rows; unknown, it calls the whole model for each."""


@dataclass(frozen=True, eq=False)
class InsertTokens:
    """Puts ``tokens()`` (P, D) in front of the tokens entering ``first`` and drops them behind ``last``."""

    first: nn.Module
    last: nn.Module
    tokens: Callable[[], Tensor]


@dataclass(frozen=True, eq=False)
class ReplaceForward:
    """``replace(call, *args)`` is computed in place of ``module.forward(*args)``.

    ``call.original`` is the module's own forward and ``call.categories`` the categories asked for: one per sample,
    one for all, or None where nobody asked.
    """

    module: nn.Module
    replace: Callable[..., Any]
    fold: Fold | None = None


Change = AddToOutput | ExtendKeyValue | InsertTokens | ReplaceForward


@dataclass(frozen=True)
class Call:
    """What a stand-in may know of the call it is part of."""

    original: Callable[..., Any]
    categories: tuple[str | None, ...] | None


def hooks_of(change: Change) -> list[tuple[str, nn.Module, Any]]:
    """(key of ``lvtune.patcher.hooks.HOOKS``, module, what the adapter does there) for each hook that a change needs.

    Raises:
        TypeError: none of the four changes.
    """
    match change:
        case AddToOutput(module, delta):
            found = [("add", module, delta)]
        case ExtendKeyValue(key, value, key_rows, value_rows, attention):
            if key is value:
                found = [("extend", key, lambda: torch.cat([key_rows(), value_rows()], dim=-1))]
            else:
                found = [("extend", key, key_rows), ("extend", value, value_rows)]
            found += [] if attention is None else [("apart", attention, None)]
        case InsertTokens(first, last, tokens):
            found = [("insert", first, tokens), ("drop", last, lambda: tokens().shape[-2])]
        case ReplaceForward(module, replace):
            found = [("replace", module, replace)]
        case _:
            raise TypeError(f"unknown change {change!r}")
    # a compiled part is a wrapper; the hook belongs to what it wraps
    return [(kind, getattr(module, "_orig_mod", module), act) for kind, module, act in found]


def shares_a_batch(changes: list[Change]) -> bool:
    """Whether samples under these changes and samples under others can go through the model in one call."""
    return not any(
        isinstance(change, InsertTokens) or (isinstance(change, ExtendKeyValue) and change.attention is None)
        for change in changes
    )
