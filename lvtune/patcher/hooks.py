"""The hooks on a base's modules that let the selected adapters act.

A hook belongs to a module, not to an adapter: however many adapters change a module in the same way, one hook looks up
which of them acts in this call. It knows its place by a number, its site; an adapter's plan maps sites and kinds of
change to what it does there. No hook ever sees an adapter's name: compiled code that ran under one adapter runs
under any of the same shape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.bases.changes import Call
from lvtune.patcher.routing import Key, Routing, joined

if TYPE_CHECKING:
    from lvtune.patcher.ledger import Ledger


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


def _output_hook(ledger: Ledger, module: nn.Module, site: int) -> Callable[[], None]:
    keys = [(site, kind) for kind in ("add", "extend", "drop")]

    def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        routing = ledger.current()
        if len(routing.parts) > 1:
            return _added_by_part(routing, keys[0], args[0], output)
        plan = routing.parts[0].plan
        delta, rows, count = (plan.get(key) for key in keys)
        if delta is not None:
            output = output + delta(args[0])
        if rows is not None:
            output = torch.cat([output, rows().expand(output.shape[0], -1, -1)], dim=1)
        return output if count is None else output[:, count() :]

    # in front of transformers' own output-capturing hook, which must see what comes of the changes
    return module.register_forward_hook(hook, prepend=True).remove


def _added_by_part(routing: Routing, key: Key, x: Tensor, output: Any) -> Any:
    """Each adapter's addition to its own samples; other changes of outputs are only ever made to one adapter's."""
    acting = [(part, part.plan[key]) for part in routing.parts if key in part.plan]
    if not acting:
        return output
    if isinstance(output, Tensor):
        output = output.clone()  # what a module gives may be its own input
    for part, delta in acting:
        own = part.rows(routing, len(x))
        added = delta(x[own])
        if isinstance(output, Tensor):
            output[own] += added
        else:  # key points differ: one map a row
            output[own] = torch.stack(output[own]) + added
    return output


def _input_hook(ledger: Ledger, module: nn.Module, site: int) -> Callable[[], None]:
    key = (site, "insert")

    def hook(module: nn.Module, args: tuple) -> tuple | None:
        routing = ledger.current()
        # those who insert tokens never share a call with others
        tokens = routing.parts[0].plan.get(key) if len(routing.parts) == 1 else None
        if tokens is None:
            return None
        return (torch.cat([tokens().expand(args[0].shape[0], -1, -1), args[0]], dim=1), *args[1:])

    return module.register_forward_pre_hook(hook).remove


def _stand_in(ledger: Ledger, module: nn.Module, site: int) -> Callable[[], None]:
    keys = [(site, kind) for kind in ("stand-in", "apart")]

    def replacement(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        routing = ledger.current()
        if len(routing.parts) > 1:
            return _replaced_by_part(ledger, keys, original, args, kwargs)
        part = routing.parts[0]
        replace = part.plan.get(keys[0])
        if replace is None:
            return original(*args, **kwargs)
        return replace(Call(original, part.asked), *args, **kwargs)

    return shadow(module, "forward", replacement)


def _replaced_by_part(ledger: Ledger, keys: list[Key], original: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
    """The module's own forward for samples that nobody claims, each adapter's for its own."""
    routing = ledger.current()
    if not any(key in part.plan for part in routing.parts for key in keys):
        return original(*args, **kwargs)
    outputs, total = [], len(args[0])
    for inner, own in routing.apart(keys, total):
        take = lambda value: value[own] if isinstance(value, Tensor) and _len(value) == total else value  # noqa: B023, E731
        some, named = [take(value) for value in args], {name: take(value) for name, value in kwargs.items()}
        with ledger.narrowed(inner):
            replace = inner.parts[0].plan.get(keys[0])
            if replace is None:
                outputs.append(original(*some, **named))
            else:
                call = Call(original, inner.parts[0].asked)
                outputs.append(replace(call, *some, **named))
    return joined(outputs)


def _len(value: Tensor) -> int | None:
    return len(value) if value.dim() else None


Hook = Callable[["Ledger", nn.Module, int], Callable[[], None]]
"""Puts itself on a module, at a site; what it returns takes it off."""
HOOKS: dict[str, Hook] = {
    "add": _output_hook,
    "extend": _output_hook,
    "drop": _output_hook,
    "insert": _input_hook,
    "stand-in": _stand_in,
    "apart": _stand_in,
}
"""What an adapter does at a module to the hook that lets it."""
