"""Calls of a model with adapters: chooses, once for each call, which sample goes under which adapter.

The choice is made at the outermost call of the model and kept in a context variable while the call runs. The hooks on
the model's modules (:mod:`lvtune.patcher.hooks`) ask :meth:`CallRouter.current` what was chosen.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from lvtune.bases.base import Base
from lvtune.bases.nested_outputs import exchanged
from lvtune.core.context import AUTO, Group, Selection, check_name, chosen
from lvtune.core.errors import UsageError
from lvtune.core.private_api import compiler_reads_context, is_compiled, is_exporting
from lvtune.patcher.attached_adapters import AttachedAdapters
from lvtune.patcher.automatic import decider
from lvtune.patcher.call_arguments import Arguments, signature_of
from lvtune.patcher.call_parts import Part, Routing
from lvtune.patcher.recomputation import Recomputation, Runs, running
from lvtune.patcher.shadows import Shadows

F = TypeVar("F", bound=Callable[..., Any])


def _not_compiled(function: F) -> F:
    """Keeps ``torch.compile`` out of a function, and of what it calls."""
    return cast(F, torch.compiler.disable(function))


class CallRouter:
    """Runs the samples of each call of one model under their adapters.

    Args:
        base: whose model it is.
        attached: the adapters; read at each call.
        shadows: the functions in front of methods of the model and its modules.
    """

    def __init__(self, base: Base, attached: AttachedAdapters, shadows: Shadows) -> None:
        self.base, self.model, self._key = base, base.model, id(base.model)
        self._attached, self._shadows = attached, shadows
        self._recomputation = Recomputation()
        self._in_compiled, self._one_compiled = cast("Routing | None", None), threading.RLock()
        self.read_signature()

    def read_signature(self) -> None:
        """Reads the names of the inputs off the model's ``forward`` as it is now."""
        self._signature = signature_of(self.model, self.base.batched[0])

    def refresh(self) -> None:
        """Puts adapters in front of functions that somebody has set on the model's modules since (``forward = f``)."""
        if self._shadows.renew():
            self.read_signature()
            forget_compiled()

    def call(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Stands in for the model's ``forward``. Only ``original`` is compiled; the choice runs in plain Python."""
        if is_exporting():  # the size of the batch is a symbol then: it has no parts
            return self._run_passes(self._chosen(), original, args, kwargs)
        return self._route(torch.compiler.is_compiling(), original, args, kwargs)

    @torch.compiler.disable(recursive=False)
    def _route(self, compiling: bool, original: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        """Resolves the selection once and runs the samples under their adapters."""
        outputs, runs = [], self._resolve(compiling, args, kwargs)
        told = not compiler_reads_context() and (compiling or is_compiled(self.model))
        for routing, index in runs:
            some, named = (args, kwargs) if index is None else self._rows(index, args, kwargs)
            output = self._run_apart(routing, original, some, named, told)
            for part in routing.parts:
                if part.memo is not None:
                    part.memo.clear()
            self._note(output, routing, runs if index is None else None)
            outputs.append(output)
        return outputs[0] if runs[0][1] is None else self._merge(outputs, runs)

    def _run_passes(
        self, routing: Routing, original: Callable[..., Any], args: tuple, kwargs: dict, told: bool = False
    ) -> Any:
        """Runs the model; once for each pass, where the adapter of the call needs several."""
        part, outputs = routing.only, []
        for one in [routing] if part is None else [Routing((own,)) for own in part.passes()]:
            with self.narrowed(one), self._told_to_compiler(one) if told else contextlib.nullcontext():
                outputs.append(original(*args, **kwargs))
        if part is None or part.several is None:
            return outputs[0]
        heatmaps = [self.base.heatmaps_of(output) for output in outputs]
        return exchanged(outputs[0], heatmaps[0], part.several.join(heatmaps))

    _run_apart: Any = torch.compiler.disable(_run_passes, recursive=False)
    """The same, not compiled itself; what it calls may be."""

    @_not_compiled
    def _resolve(self, compiling: bool, args: tuple, kwargs: dict) -> Runs:
        """Returns the calls of the model's own ``forward`` that this call needs."""
        self.refresh()
        selection = chosen.get().get(self._key)
        if selection is None:
            if self._recomputation.runs is not None:
                return self._recomputation.runs
            selection = Selection()
        given = Arguments(self._signature, args, kwargs)
        if selection.is_automatic:
            decide = decider(self._attached.by_name) if selection.adapters == AUTO else selection.adapters
            names = decide(self.base, dict(self._attached.by_name), given.needed_pictures())
            selection = Selection(tuple(names), selection.category)
        if given.pictures is None and selection.is_single and not isinstance(selection.category, tuple):
            return [(self._of_one(selection), None)]
        groups = selection.groups(self._attached.active, len(given.needed_pictures()))
        for group in groups:
            check_name(self.model, group.owner)
        if len(groups) == 1:
            entry = self._attached.entries[groups[0].owner]
            return [(Routing((Part(entry.plan, groups[0].categories, several=entry.several),)), None)]
        further = given.others(self.base.batched)
        # compiled code would be compiled anew for each pattern of adapters in a batch
        together = not (torch.is_grad_enabled() or further or compiling or is_compiled(self.model))
        return self._arrange(groups, together and self.base.batch_major)

    def _arrange(self, groups: list[Group], together: bool) -> Runs:
        """Returns one call for all groups that can share it, and one for each other group."""
        entries = self._attached.entries
        shared = [group for group in groups if together and entries[group.owner].shares]
        # adapters that act at the same sites come next to each other: the base's own modules are called less often
        shared.sort(key=lambda group: sorted(entries[group.owner].plan))
        runs = [shared] if shared else []
        runs += [[group] for group in groups if group not in shared]
        return [self._run(groups) for groups in runs]

    def _run(self, groups: list[Group]) -> tuple[Routing, Tensor]:
        """Returns one call for several groups, and the places of its samples in the batch."""
        entries = self._attached.entries
        ends = list(itertools.accumulate(len(group.places) for group in groups))
        parts = tuple(
            Part(
                entries[group.owner].plan,
                group.categories,
                end - len(group.places),
                end,
                several=entries[group.owner].several,
            )
            for group, end in zip(groups, ends, strict=True)
        )
        return Routing(parts), torch.tensor([place for group in groups for place in group.places])

    @_not_compiled
    def _rows(self, index: Tensor, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Returns the arguments with the samples ``index`` alone."""
        some = Arguments(self._signature, args, kwargs).rows(index, self.base.batched)
        return some.args, some.kwargs

    @_not_compiled
    def _merge(self, outputs: list[Any], runs: Runs) -> Any:
        merged = self.base.merge_outputs(outputs, [index for _, index in runs if index is not None])
        self._note(merged, None, runs)
        return merged

    @_not_compiled
    def _note(self, output: Any, routing: Routing | None, runs: Runs | None) -> None:
        self._recomputation.note(self.base.heatmaps_of(output), routing, runs)

    @contextlib.contextmanager
    def narrowed(self, routing: Routing) -> Iterator[None]:
        """Lets the modules that run inside the block see ``routing``, such as part of the samples of a call."""
        token = running.set({**running.get(), self._key: routing})
        try:
            yield
        finally:
            running.reset(token)

    @contextlib.contextmanager
    def _told_to_compiler(self, routing: Routing) -> Iterator[None]:
        """Lets compiled code see ``routing``, for versions of torch that compile no context variables.

        It sees it as an attribute, which all threads share: there compiled calls of a model run one after the other.
        """
        with self._one_compiled:
            before, self._in_compiled = self._in_compiled, routing
            try:
                yield
            finally:
                self._in_compiled = before

    def current(self) -> Routing:
        """Returns what the call under way has resolved; outside of one, what is chosen now.

        Raises:
            UsageError: a part of the model is called by itself, under one adapter per sample.
        """
        if self._in_compiled is not None and torch.compiler.is_dynamo_compiling():
            return self._in_compiled
        routing = running.get().get(self._key) or self._recomputation.routing
        return self._chosen_outside() if routing is None else routing

    def _chosen_outside(self) -> Routing:
        """What is chosen now, for a part of the model that is called by itself."""
        routing = self._chosen()
        if routing.only is not None and routing.only.several is not None:
            raise UsageError(
                "a part of the model under an adapter that needs several calls of it (joined)",
                "a call of the whole model", "call the model itself",
            )  # fmt: skip
        return Routing(tuple(replace(part, memo=None, draws=None) for part in routing.parts))

    def _chosen(self) -> Routing:
        selection = chosen.get().get(self._key, Selection())
        if not selection.is_single or selection.is_automatic:
            raise UsageError(
                "one adapter per sample for a part of the model, or for a forward that was set on it while adapters "
                "were attached", "a call of the whole model, or one adapter",
                "call the model itself; set a forward of your own before you choose adapters",
            )  # fmt: skip
        return self._of_one(selection)

    def _of_one(self, selection: Selection) -> Routing:
        owner = self._attached.active if selection.adapters is ... else selection.adapters
        check_name(self.model, owner)
        entry = self._attached.entries[owner]
        return Routing((Part(entry.plan, selection.category, several=entry.several),))


def forget_compiled() -> None:
    """Lets everything be compiled afresh: compiled code does not see hooks that come or go after it."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
