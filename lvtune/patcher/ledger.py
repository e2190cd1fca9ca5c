"""The ledger: every change to a base, undone in any order.

An adapter says where it attaches as a list of **primitive changes** (:mod:`lvtune.bases.changes`); the ledger knows
nothing else about it. Each touched module gets one hook per kind of change, however many adapters share it; the
hook asks which adapter is selected in this call (:mod:`lvtune.patcher.selection`) and lets that one act. No parameter,
buffer or class of the base is ever written: the changes are forward hooks and instance-level ``forward``
functions, and ``requires_grad`` and ``training`` flags, all noted and put back.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from lvtune.bases.base import Base
from lvtune.bases.changes import Change, hooks_of, shares_a_batch
from lvtune.core.context import AUTO, LEDGER, Group, Selection, check_name, chosen
from lvtune.core.errors import LvtuneError
from lvtune.patcher.automatic import usual
from lvtune.patcher.hooks import HOOKS, Hook, shadow
from lvtune.patcher.routing import Key, Part, Plan, Routing, is_compiled
from lvtune.patcher.selection import Recomputation, Runs, running
from lvtune.patcher.shapes import check_fit


@dataclass
class _Site:
    """A hook on a module, what it does there, and how to take the hook off again."""

    keys: dict[str, Key]
    """The kinds of change that it carries out, and how plans call them; one object for all plans."""
    remove: Callable[[], None]
    users: int = 0

    def used_in(self, plan: Plan) -> bool:
        """Whether an adapter acts here."""
        return any(key in plan for key in self.keys.values())


@dataclass(frozen=True)
class _Entry:
    """What one adapter does where, and whether its samples can share a call with those of others."""

    shares: bool
    plan: dict[Key, Any] = field(default_factory=dict)


class Ledger:
    """What is attached to one model, and how it is undone."""

    def __init__(self, base: Base) -> None:
        self.base, self.model, self._key = base, base.model, id(base.model)
        self.adapters: dict[str, nn.Module] = {}
        self._lead: tuple[str, ...] = ()
        self._entries: dict[str | None, _Entry] = {None: _Entry(shares=True)}
        self._sites: dict[tuple[Hook, nn.Module], _Site] = {}
        self._numbers = itertools.count()
        self._recomputation = Recomputation()
        self._undo: list[Callable[[], None]] = []

    def __reduce__(self) -> NoReturn:
        raise LvtuneError(
            "a copy of a model that adapters are attached to", "a model without adapters",
            "lvtune.detach(model), copy it, and attach to the copy",
        )  # fmt: skip

    def open(self) -> None:
        """First attachment: flags are noted, the model frozen, its forward and train routed through here."""
        model = self.model
        self._signature = inspect.signature(model.forward)
        flags = [(p, p.requires_grad) for p in model.parameters()]
        modes = [(m, m.training) for m in model.modules()]
        self._undo.append(lambda: [p.requires_grad_(flag) for p, flag in flags])
        self._undo.append(lambda: [setattr(m, "training", mode) for m, mode in modes])
        whole_mode = model.training
        model.requires_grad_(False)
        model.eval()
        model.training = whole_mode
        self._undo.append(shadow(model, "forward", self._call))
        self._undo.append(shadow(model, "train", self._train))
        self._undo.append(shadow(model, "_apply", self._apply))
        self._undo.append(shadow(model, "_replicate_for_data_parallel", _refuse_replicas))

    def close(self) -> None:
        """Last detachment: all is put back."""
        while self._undo:
            self._undo.pop()()

    @property
    def active(self) -> str | None:
        """The adapter attached last, of those that act where nobody chooses."""
        lead = self._lead  # another thread may put another in its place
        return lead[-1] if lead else None

    def set_mode(self, mode: bool) -> None:
        """Training or evaluation, for the whole and its adapters; the base's own modules stay in eval."""
        self.model.training = mode
        for adapter in self.adapters.values():
            adapter.train(mode)

    def _train(self, original: Callable[..., Any], mode: bool = True) -> nn.Module:
        self.set_mode(mode)
        return self.model

    def _apply(self, original: Callable[..., Any], fn: Callable[[Tensor], Tensor], *args: Any) -> nn.Module:
        for adapter in self.adapters.values():
            adapter._apply(fn, *args)
        return original(fn, *args)

    def _call(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The outermost call. Of what follows only ``original`` is compiled: the choice is read in plain Python."""
        if _is_exporting():  # the size of the batch is a symbol then: it has no parts
            with self.narrowed(self._outside()):
                return original(*args, **kwargs)
        return self._route(torch.compiler.is_compiling(), original, args, kwargs)

    @torch.compiler.disable(recursive=False)
    def _route(self, compiling: bool, original: Callable[..., Any], args: Sequence, kwargs: dict) -> Any:
        """Resolves the selection once and runs the samples under their adapters."""
        outputs, runs = [], self._resolve(compiling, args, kwargs)
        for routing, index in runs:
            some, named = (args, kwargs) if index is None else self._take(index, args, kwargs)
            token = running.set({**running.get(), self._key: routing})
            try:
                output = original(*some, **named)
            finally:
                running.reset(token)
            self._note(output, routing, runs if index is None else None)
            outputs.append(output)
        return outputs[0] if runs[0][1] is None else self._merge(outputs, runs)

    @torch.compiler.disable
    def _resolve(self, compiling: bool, args: Sequence, kwargs: dict) -> Runs:
        """The calls that this one needs."""
        selection = chosen.get().get(self._key)
        if self._recomputation.runs is not None and selection is None:
            return self._recomputation.runs
        selection = selection or Selection()
        given = self._signature.bind(*args, **kwargs).arguments
        pixels = given[self.base.batched[0]]
        if selection.is_automatic:
            decide = usual() if selection.adapters == AUTO else selection.adapters
            selection = Selection(tuple(decide(self.base, dict(self.adapters), pixels)), selection.category)
        groups = selection.groups(self.active, len(pixels))
        for group in groups:
            check_name(self.model, group.owner)
        if len(groups) == 1:
            return [(Routing((Part(self._entries[groups[0].owner].plan, groups[0].categories),)), None)]
        further = any(value is not None for name, value in given.items() if name not in self.base.batched)
        # compiled code would be compiled anew for each pattern of adapters in a batch
        together = not (torch.is_grad_enabled() or further or compiling or is_compiled(self.model))
        return self._arrange(groups, together and self.base.batch_major)

    def _arrange(self, groups: list[Group], together: bool) -> Runs:
        """One call for all groups that can share it, and one for each other."""
        entries = self._entries
        shared = [group for group in groups if together and entries[group.owner].shares]
        # adapters that act at the same sites side by side: the base's own modules are called for fewer runs of samples
        shared.sort(key=lambda group: sorted(entries[group.owner].plan))
        runs = [shared] if shared else []
        runs += [[group] for group in groups if group not in shared]
        return [self._run(groups) for groups in runs]

    def _run(self, groups: list[Group]) -> tuple[Routing, Tensor]:
        ends = list(itertools.accumulate(len(group.places) for group in groups))
        parts = tuple(
            Part(self._entries[group.owner].plan, group.categories, end - len(group.places), end)
            for group, end in zip(groups, ends, strict=True)
        )
        return Routing(parts), torch.tensor([place for group in groups for place in group.places])

    @torch.compiler.disable
    def _take(self, index: Tensor, args: Sequence, kwargs: dict) -> tuple[tuple, dict]:
        """The arguments with these samples alone."""
        part = self._signature.bind(*args, **kwargs)
        batch = len(part.arguments[self.base.batched[0]])
        for name in self.base.batched:
            value = part.arguments.get(name)
            if isinstance(value, Tensor) and len(value) == batch:
                part.arguments[name] = value[index.to(value.device)]
        return part.args, part.kwargs

    @torch.compiler.disable
    def _merge(self, outputs: list[Any], runs: Runs) -> Any:
        merged = self.base.merge_outputs(outputs, [index for _, index in runs])
        self._note(merged, None, runs)
        return merged

    @torch.compiler.disable
    def _note(self, output: Any, routing: Routing | None, runs: Runs | None) -> None:
        self._recomputation.note(self.base.heatmaps_of(output), routing, runs)

    @contextlib.contextmanager
    def narrowed(self, routing: Routing) -> Iterator[None]:
        """Part of a call, of which the modules inside see their own samples alone."""
        token = running.set({**running.get(), self._key: routing})
        try:
            yield
        finally:
            running.reset(token)

    def current(self) -> Routing:
        """What the call under way has resolved; for a part of the model called by itself, what is chosen now."""
        routing = running.get().get(self._key) or self._recomputation.routing
        return self._outside() if routing is None else routing

    def _outside(self) -> Routing:
        selection = chosen.get().get(self._key, Selection())
        if not selection.is_single or selection.is_automatic:
            raise LvtuneError(
                "one adapter per sample for a part of the model", "a call of the whole model, or one adapter",
                "call the model itself",
            )  # fmt: skip
        owner = self.active if selection.adapters is ... else selection.adapters
        return Routing((Part(self._entries[owner].plan, selection.category),))

    def install(self, owner: str, changes: list[Change]) -> None:
        """Lets ``owner`` make changes; the first owner at a site brings the hook, the last takes it away.

        Raises:
            TypeError: not a change, or one that the owner makes to this module already.
        """
        plan = self._entries.setdefault(owner, _Entry(shares_a_batch(changes))).plan
        for kind, module, act in itertools.chain.from_iterable(map(hooks_of, changes)):
            hook = HOOKS[kind]
            if (hook, module) not in self._sites:
                number = next(self._numbers)
                keys = {other: (number, other) for other in HOOKS if HOOKS[other] is hook}
                self._sites[hook, module] = _Site(keys, hook(self, module, number))
                _forget_compiled()
            site = self._sites[hook, module]
            site.users += not site.used_in(plan)
            key = site.keys[kind]
            if key in plan and kind != "add":
                raise TypeError(f"a second change '{kind}' of one adapter to one {type(module).__name__}")
            plan[key] = _sum(plan[key], act) if key in plan else act

    def uninstall(self, owner: str) -> None:
        """Takes back all that ``owner`` changed."""
        entry = self._entries.pop(owner, None)
        for place, site in list(self._sites.items()):
            site.users -= entry is not None and site.used_in(entry.plan)
            if not site.users:
                site.remove()
                del self._sites[place]
                _forget_compiled()

    def add(self, name: str, adapter: nn.Module, base: Base, active: bool = True) -> None:
        """Attaches, all or nothing; one that is not active acts where it is chosen alone."""
        check_fit(adapter, base)
        changes = list(adapter.changes(base))
        first = not self.adapters
        try:
            if first:
                self.open()
                self.model.__dict__[LEDGER] = self
                _forget_compiled()
            self.install(name, changes)
            adapter.to(device=base.device, dtype=base.dtype)
            adapter.train(base.training)
            self.adapters[name] = adapter
            self._lead += (name,) if active else ()
        except BaseException:
            self.remove(name)
            raise

    def remove(self, name: str) -> None:
        """Detaches."""
        self._lead = tuple(other for other in self._lead if other != name)
        self.adapters.pop(name, None)
        self.uninstall(name)
        if not self.adapters:
            self.close()
            self.model.__dict__.pop(LEDGER, None)
            _forget_compiled()


def _is_exporting() -> bool:
    """Whether this is traced by torch.export; torch 2.11's own ``is_exporting`` is true of torch.compile as well."""
    return getattr(torch.compiler, "_is_exporting_flag", False)


def _refuse_replicas(original: Callable[..., Any]) -> NoReturn:
    raise LvtuneError(
        "a model with adapters in torch.nn.DataParallel, whose copies share the first device's modules",
        "a process for each device: DistributedDataParallel, or `accelerate launch`",
        "lvtune.detach(model), or leave DataParallel out",
    )  # fmt: skip


def _sum(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: first(x) + second(x)


def _forget_compiled() -> None:
    """Compiled code does not see hooks that come or go after it, so all of it is compiled afresh at its next call."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
