"""The primitive changes that an adapter may make to a base; :mod:`lvtune.patcher.hooks` carries them out.

Some changes equal other weights of the module. Such a change has a ``fold``, with which :mod:`lvtune.patcher.merging`
writes it into a copy of the base.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from lvtune.bases.float_types import version_of
from lvtune.core.private_api import backward_pass_id

T = TypeVar("T")
Fold = Callable[[Mapping[str, Tensor], str | None], Mapping[str, Tensor]]
"""Maps a module's tensors by name, and a category (None: the mean of the sentences), to the tensors with which the
module by itself computes what the change makes it compute. Tensors that stay may be left out. It writes to none."""


@dataclass(frozen=True, eq=False)
class AddToOutput:
    """``module(x)`` becomes ``module(x) + delta(x)``; carried out by ``lvtune.patcher.hooks.AddToOutputHook``.

    ``delta`` maps the module's input to a tensor that broadcasts against the module's output. It may have a method
    ``added(output, x)`` that computes the sum in fewer operations; ``output`` must stay as it is.
    """

    module: nn.Module
    delta: Callable[[Tensor], Tensor]
    fold: Fold | None = None


@dataclass(frozen=True, eq=False)
class ExtendKeyValue:
    """Appends rows (P, D) to the outputs of an attention's ``key`` and ``value``: (B, N, D) -> (B, N+P, D).

    The queries stay as they are, and so does the number of tokens. Where one matrix gives keys and values
    (``key is value``), its output is (B, N, 2D), the keys first.
    """

    key: nn.Module
    value: nn.Module
    key_rows: Callable[[], Tensor]
    value_rows: Callable[[], Tensor]
    attention: nn.Module | None = None
    """The module around both; keys and values do not leave it. Adapters may append different numbers of rows, so a
    batch of several adapters calls this module once for each. None: it calls the whole model once for each."""


@dataclass(frozen=True, eq=False)
class InsertTokens:
    """Puts ``tokens()`` (P, D) in front of the tokens that enter ``first``, and drops them behind ``last``."""

    first: nn.Module
    last: nn.Module
    tokens: Callable[[], Tensor]


@dataclass(frozen=True, eq=False)
class ReplaceForward:
    """``replace(call, *args)`` is computed in place of ``module.forward(*args)``; ``call`` is a :class:`Call`."""

    module: nn.Module
    replace: Callable[..., Any]
    fold: Fold | None = None


@dataclass(frozen=True, eq=False)
class Pass:
    """One of several calls of the model, under changes of its own."""

    changes: tuple[Any, ...]
    """As those of an adapter; no :class:`RunSeveral` among them."""
    category: Callable[[str], str | None]
    """The category that is read where the caller chose one; None: the mean of the sentences."""


@dataclass(frozen=True, eq=False)
class RunSeveral:
    """The whole model runs once for each pass, and one output is made of all; an adapter's only change."""

    module: nn.Module
    """The model."""
    passes: tuple[Pass, ...]
    join: Callable[[Sequence[Tensor]], Tensor]
    """Makes the heatmaps (B, K, h, w) of those of the passes, (B, K_i, h, w) each."""


Change = AddToOutput | ExtendKeyValue | InsertTokens | ReplaceForward | RunSeveral


@dataclass(frozen=True)
class Call:
    """What a :class:`ReplaceForward` gets to know about the call."""

    original: Callable[..., Any]
    """The module's own forward."""
    categories: tuple[str | None, ...] | None
    """The chosen categories: one per sample, one for all samples, or None where none is chosen."""
    memo: dict[Any, Any] | None = None
    """What :meth:`once` and :meth:`shared` have made so far in this call of the model; None: they keep nothing."""
    draws: dict[Any, tuple[int, Tensor]] | None = None
    """What :meth:`drawn` has drawn in this call, and at which place; None: it keeps nothing."""

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """Returns ``make()``, which is run once in a call of the model: for what is the same in many layers.

        Where activations are computed again in a backward pass, it is made again. They are compared by what they
        save for that pass; what is made here does not count among it.

        Args:
            key: identifies what is made, and for whom.
            make: makes it, with gradients if they are on.
        """
        if torch.compiler.is_compiling():
            return make()
        memo = {} if self.memo is None or backward_pass_id() != -1 else self.memo
        key = (key, torch.is_grad_enabled())
        if key not in memo:
            with torch.autograd.graph.saved_tensors_hooks(_as_it_is, _as_it_is):
                memo[key] = make()
        return memo[key]

    def shared(self, key: Any, x: Tensor, place: int, places: Collection[int], make: Callable[[], T]) -> T:
        """Returns ``make()``, which layers share that are called with the same ``x``; the last one of them drops it.

        Unlike :meth:`once`, what is made may be kept by a backward pass, and a block that is computed again shares it
        among its layers as the first time. So these layers must lie in the same block of activation checkpointing.

        Args:
            key: identifies what is made, and for whom.
            x: the layers' input.
            place: number of the layer that asks.
            places: numbers of the layers that may read the same input.
            make: makes it.
        """
        if self.memo is None or len(places) == 1:
            return make()
        key, version = ("shared", key, backward_pass_id(), torch.is_grad_enabled()), version_of(x)
        found = self.memo.get(key)
        if found is None or found.x is not x or found.version != version or place not in found.waiting:
            found = self.memo[key] = _Shared(x, version, set(places), make())
        found.waiting.discard(place)
        if not found.waiting:
            del self.memo[key]
        return found.value

    def drawn(self, key: Any, place: int, draw: Callable[[], Tensor]) -> Tensor:
        """Returns ``draw()``, random numbers without gradients, which are drawn once in a call for many layers.

        Where activations are computed again in a backward pass, it returns the same ones. The layer that drew them
        draws again there and throws away what it gets: what is drawn behind it must be the same as well.

        Args:
            key: identifies what is drawn, and for whom.
            place: number of the layer.
            draw: draws.
        """
        draws = {} if self.draws is None else self.draws
        if key not in draws:
            draws[key] = place, draw()
        elif draws[key][0] == place and backward_pass_id() != -1:
            draw()
        return draws[key][1]


class _Shared(NamedTuple):
    """What layers share, and which of them have not read it."""

    x: Tensor
    version: int
    waiting: set[int]
    value: Any


def _as_it_is(value: Tensor) -> Tensor:
    return value


def hooks_of(change: Change) -> list[tuple[str, nn.Module, Any]]:
    """Returns (kind in ``lvtune.patcher.hooks.HOOKS``, module, what the adapter does) for each hook of a change.

    Raises:
        TypeError: it is none of the four changes.
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
        case RunSeveral(module):
            found = [("passes", module, None)]
        case _:
            raise TypeError(f"unknown change {change!r}")
    # a compiled part is a wrapper; the hook belongs to what it wraps
    return [(kind, getattr(module, "_orig_mod", module), act) for kind, module, act in found]


def shares_a_batch(changes: list[Change]) -> bool:
    """Returns True if samples under these changes and under others can go through the model in one call."""
    return not any(
        isinstance(change, InsertTokens | RunSeveral)
        or (isinstance(change, ExtendKeyValue) and change.attention is None)
        for change in changes
    )
