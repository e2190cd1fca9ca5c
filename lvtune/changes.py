"""The primitive changes that an adapter may make to a base, and the hooks that carry them out.

A hook belongs to a module, not to an adapter: however many adapters change a module in the same way, one hook asks
``acting(kind, module)`` which of them acts in this call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lvtune.patcher import Ledger


@dataclass(frozen=True, eq=False)
class AddToOutput:
    """``module(x)`` becomes ``module(x) + delta(x)``.

    ``delta`` maps the module's input to a tensor that broadcasts against its output.
    """

    module: nn.Module
    delta: Callable[[Tensor], Tensor]


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


@dataclass(frozen=True, eq=False)
class InsertTokens:
    """Puts ``tokens()`` (P, D) in front of the tokens entering ``first`` and drops them behind ``last``."""

    first: nn.Module
    last: nn.Module
    tokens: Callable[[], Tensor]


@dataclass(frozen=True, eq=False)
class StandIn:
    """``replace(call, *args)`` is computed in place of ``module.forward(*args)``.

    ``call.original`` is the module's own forward and ``call.prompts`` the categories asked for: one per sample,
    or None where nobody asked.
    """

    module: nn.Module
    replace: Callable[..., Any]


Change = AddToOutput | ExtendKeyValue | InsertTokens | StandIn


@dataclass(frozen=True)
class Call:
    """What a stand-in may know of the call it is part of."""

    original: Callable[..., Any]
    prompts: tuple[str | None, ...] | None


def shadow(module: nn.Module, name: str, replacement: Callable[..., Any]) -> Callable[[], None]:
    """Puts ``replacement(original, ...)`` in front of a method, on the instance only; returns what undoes it."""
    before = module.__dict__.get(name)
    original = getattr(module, name)
    # wraps keeps the signature, which transformers reads
    module.__dict__[name] = functools.wraps(original)(functools.partial(replacement, original))

    def undo() -> None:
        if before is None:
            module.__dict__.pop(name, None)
        else:
            module.__dict__[name] = before

    return undo


def _output_hook(ledger: Ledger, module: nn.Module) -> Callable[[], None]:
    def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        delta, rows, count = (ledger.acting(kind, module) for kind in ("add", "extend", "drop"))
        if delta is not None:
            output = output + delta(args[0])
        if rows is not None:
            output = torch.cat([output, rows().expand(len(output), -1, -1)], dim=1)
        return output if count is None else output[:, count() :]

    # in front of transformers' own output-capturing hook, which must see what comes of the changes
    return module.register_forward_hook(hook, prepend=True).remove


def _input_hook(ledger: Ledger, module: nn.Module) -> Callable[[], None]:
    def hook(module: nn.Module, args: tuple) -> tuple | None:
        tokens = ledger.acting("insert", module)
        if tokens is None:
            return None
        return (torch.cat([tokens().expand(len(args[0]), -1, -1), args[0]], dim=1), *args[1:])

    return module.register_forward_pre_hook(hook).remove


def _stand_in(ledger: Ledger, module: nn.Module) -> Callable[[], None]:
    def replacement(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        replace = ledger.acting("stand-in", module)
        if replace is None:
            return original(*args, **kwargs)
        return replace(Call(original, ledger.current().prompts_of(len(args[0]))), *args, **kwargs)

    return shadow(module, "forward", replacement)


Hook = Callable[["Ledger", nn.Module], Callable[[], None]]
"""Puts itself on a module; what it returns takes it off."""
HOOKS: dict[str, Hook] = {
    "add": _output_hook,
    "extend": _output_hook,
    "drop": _output_hook,
    "insert": _input_hook,
    "stand-in": _stand_in,
}
"""What an adapter does at a module to the hook that lets it."""


def hooks_of(change: Change) -> list[tuple[str, nn.Module, Any]]:
    """(key of ``HOOKS``, module, what the adapter does there) for each hook that a change needs.

    Raises:
        TypeError: none of the four changes.
    """
    match change:
        case AddToOutput(module, delta):
            found = [("add", module, delta)]
        case ExtendKeyValue(key, value, key_rows, value_rows):
            if key is value:
                found = [("extend", key, lambda: torch.cat([key_rows(), value_rows()], dim=-1))]
            else:
                found = [("extend", key, key_rows), ("extend", value, value_rows)]
        case InsertTokens(first, last, tokens):
            found = [("insert", first, tokens), ("drop", last, lambda: tokens().shape[-2])]
        case StandIn(module, replace):
            found = [("stand-in", module, replace)]
        case _:
            raise TypeError(f"unknown change {change!r}")
    # a compiled part is a wrapper; the hook belongs to what it wraps
    return [(kind, getattr(module, "_orig_mod", module), act) for kind, module, act in found]
