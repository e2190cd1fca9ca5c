"""The hooks on a base's modules. Here the selected adapters act; :class:`AddToOutputHook` adds LoRA's differences.

A hook belongs to a module, not to an adapter. However many adapters change a module in the same way, one hook looks up
which of them acts in this call. It knows its place by a number, its site; an adapter's plan maps sites and kinds of
change to what the adapter does there. No hook sees an adapter's name, so compiled code that ran under one adapter runs
under any other of the same shape.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lvtune.bases.changes import Call
from lvtune.bases.nested_outputs import joined
from lvtune.patcher.call_parts import Key, Part, Routing
from lvtune.patcher.routing import CallRouter
from lvtune.patcher.shadows import Shadow, Shadows


class Hook(ABC):
    """Lets adapters act at one module, in the ways that its class names.

    Args:
        calls: says which adapter acts in the call under way.
        shadows: where a function in front of a method of the module is noted.
        module: of the base.
        site: number of the place.
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    """Kinds of change that it carries out."""

    def __init__(self, calls: CallRouter, shadows: Shadows, module: nn.Module, site: int) -> None:
        self.calls, self.shadows = calls, shadows
        self.keys: dict[str, Key] = {kind: (site, kind) for kind in self.kinds}
        """Kind to the key under which plans hold it; one object for all plans."""
        self.owners: set[str] = set()
        """Names of the adapters that act here; the hook is taken off with the last of them."""
        self.remove = self.put_on(module)
        """Takes the hook off."""

    @abstractmethod
    def put_on(self, module: nn.Module) -> Callable[[], None]:
        """Puts the hook on its module; returns what takes it off."""


class AddToOutputHook(Hook):
    """Adds to what a module gives: y becomes y + delta(x), as for LoRA, biases and bottlenecks.

    Then appends the rows of deep visual prompts to keys or values, or drops inserted tokens.
    """

    kinds = ("add", "extend", "drop")

    def put_on(self, module: nn.Module) -> Callable[[], None]:
        """A forward hook in front of transformers' own, which capture outputs and must see the changed one."""
        add, extend, drop = (self.keys[kind] for kind in ("add", "extend", "drop"))
        calls = self.calls

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict, output: Tensor) -> Tensor:
            routing = calls.current()
            part = routing.only
            if part is None:
                return _added_by_part(routing, add, _input(args, kwargs), output)
            delta, rows, count = part.plan.get(add), part.plan.get(extend), part.plan.get(drop)
            if delta is not None:
                x, added = _input(args, kwargs), getattr(delta, "added", None)
                output = output + delta(x) if added is None else added(output, x)
            if rows is not None:
                output = torch.cat([output, rows().to(output.dtype).expand(output.shape[0], -1, -1)], dim=1)
            return output if count is None else output[:, count() :]

        return module.register_forward_hook(hook, prepend=True, with_kwargs=True).remove


def _added_by_part(routing: Routing, add: Key, x: Tensor, output: Any) -> Any:
    """Each adapter's addition to its own samples; rows and tokens are only ever added for a single adapter."""
    acting = [(part, part.plan[add]) for part in routing.parts if add in part.plan]
    if not acting:
        return output
    if isinstance(output, Tensor):
        output = output.clone()  # what a module gives may be its own input
    for part, delta in acting:
        own = part.rows(routing, len(x))
        added = delta(x[own])
        if isinstance(output, Tensor):
            output[own] += added
        else:  # the key points differ: one map for each row
            output[own] = torch.stack(output[own]) + added
    return output


class InsertTokensHook(Hook):
    """Puts tokens in front of those that enter a module (shallow visual prompts)."""

    kinds = ("insert",)

    def put_on(self, module: nn.Module) -> Callable[[], None]:
        """A hook in front of the module's forward."""
        insert, calls = self.keys["insert"], self.calls

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict) -> tuple | None:
            part = calls.current().only
            # adapters that insert tokens never share a call with others
            tokens = None if part is None else part.plan.get(insert)
            if tokens is None:
                return None
            x = _input(args, kwargs)
            longer = torch.cat([tokens().to(x.dtype).expand(x.shape[0], -1, -1), x], dim=1)
            return (longer, *args[1:]), kwargs if args else dict(list(kwargs.items())[1:])

        return module.register_forward_pre_hook(hook, with_kwargs=True).remove


class ReplaceForwardHook(Hook):
    """Computes what an adapter gives in place of a module's own forward: trained predictors, heads, blocks."""

    kinds = ("replace", "apart")
    """``apart``: the module keeps its forward, but runs once for each adapter of a mixed batch."""

    def put_on(self, module: nn.Module) -> Callable[[], None]:
        """A shadow of the module's forward."""
        shadow = Shadow(module, "forward", self._forward)
        self.shadows.add(shadow)
        return functools.partial(self.shadows.undo, shadow)

    def _forward(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        routing = self.calls.current()
        part = routing.only
        if part is None:
            return self._forward_by_part(routing, original, args, kwargs)
        return self._forward_of(part, original, args, kwargs)

    def _forward_of(self, part: Part, original: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        replace = part.plan.get(self.keys["replace"])
        if replace is None:
            return original(*args, **kwargs)
        return replace(Call(original, part.chosen_categories, part.memo, part.draws), *args, **kwargs)

    def _forward_by_part(self, routing: Routing, original: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        """The adapter's forward for the samples of each adapter that acts here, the module's own for the others."""
        keys = list(self.keys.values())
        if not any(key in part.plan for part in routing.parts for key in keys):
            return original(*args, **kwargs)
        outputs, total = [], len(_input(args, kwargs))
        for inner, own in routing.calls_of(keys, total):
            some = tuple(_rows_of(value, own, total) for value in args)
            named = {name: _rows_of(value, own, total) for name, value in kwargs.items()}
            with self.calls.narrowed(inner):
                outputs.append(self._forward_of(inner.parts[0], original, some, named))
        return joined(outputs)


def _input(args: tuple, kwargs: dict) -> Tensor:
    """What a module is called with: its first argument, given by place or by name."""
    return args[0] if args else next(iter(kwargs.values()))


def _rows_of(value: Any, rows: slice, total: int) -> Any:
    """The rows of a tensor that has ``total`` of them; any other value as it is."""
    has_rows = isinstance(value, Tensor) and value.dim() > 0 and len(value) == total
    return value[rows] if has_rows else value


HOOKS: dict[str, type[Hook]] = {
    kind: hook for hook in (AddToOutputHook, InsertTokensHook, ReplaceForwardHook) for kind in hook.kinds
}
"""Kind of change, as :func:`lvtune.bases.changes.hooks_of` names it, to the hook that carries it out."""
