"""The ledger of a model: what is attached to it, and how that is undone, in any order.

An adapter says where it attaches as a list of **primitive changes** (:mod:`lvtune.bases.changes`); the ledger knows
nothing else about it. Each changed module gets one hook for each kind of change, however many adapters share it
(:mod:`lvtune.patcher.hooks`). In a call the hook asks which adapter is chosen (:mod:`lvtune.patcher.routing`) and lets
that one act. No parameter, buffer or class of the base is ever written. The changes are forward hooks, ``forward``
functions of single instances, and the flags ``requires_grad`` and ``training``; all are noted and put back.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from lvtune.bases.attachable import Attachable
from lvtune.bases.base import Base
from lvtune.bases.changes import Change, hooks_of, shares_a_batch
from lvtune.core.context import LEDGER
from lvtune.core.errors import UsageError
from lvtune.patcher.attached_adapters import AttachedAdapters, Entry
from lvtune.patcher.hooks import HOOKS, Hook
from lvtune.patcher.precision import keeping_precision
from lvtune.patcher.routing import CallRouter, forget_compiled
from lvtune.patcher.shadows import Shadow, Shadows
from lvtune.patcher.shapes import check_fit


class Ledger:
    """What is attached to one model, and how it is undone."""

    def __init__(self, base: Base) -> None:
        self.base, self.model = base, base.model
        self.attached = AttachedAdapters()
        self._shadows = Shadows()
        self.calls = CallRouter(base, self.attached, self._shadows)
        self._full_precision: dict[str, bool] = {}
        self._hooks: dict[tuple[type[Hook], nn.Module], Hook] = {}
        self._sites = itertools.count()
        self._undo: list[Callable[[], None]] = []

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "a copy of a model that adapters are attached to", "a model without adapters",
            "lvtune.detach(model), copy it, and attach to the copy",
        )  # fmt: skip

    @property
    def adapters(self) -> dict[str, Attachable]:
        """The attached adapters by name, in the order of attaching."""
        return self.attached.by_name

    def open(self) -> None:
        """Before the first attachment: notes flags, freezes the model, and puts the ledger in front of its methods."""
        model = self.model
        flags = [(p, p.requires_grad) for p in model.parameters()]
        modes = [(m, m.training) for m in model.modules()]
        self._undo.append(functools.partial(_set_flags, flags, modes))
        whole_mode = model.training
        model.requires_grad_(False)
        model.eval()
        model.training = whole_mode
        methods = {
            "forward": self.calls.call, "train": self._train, "_apply": self._apply,
            "_replicate_for_data_parallel": _refuse_replicas,
        }  # fmt: skip
        for name, replacement in methods.items():
            shadow = Shadow(model, name, replacement)
            self._shadows.add(shadow)
            self._undo.append(functools.partial(self._shadows.undo, shadow))

    def close(self) -> None:
        """After the last detachment: puts everything back."""
        while self._undo:
            self._undo.pop()()

    def refresh(self) -> None:
        """See :meth:`lvtune.patcher.routing.CallRouter.refresh`."""
        self.calls.refresh()

    def set_mode(self, mode: bool) -> None:
        """Sets training or evaluation for the whole and its adapters; the base's own modules stay in evaluation."""
        self.model.training = mode
        for adapter in self.adapters.values():
            adapter.train(mode)

    def _train(self, original: Callable[..., Any], mode: bool = True) -> nn.Module:
        self.set_mode(mode)
        return self.model

    def _apply(self, original: Callable[..., Any], fn: Callable[[Tensor], Tensor], *args: Any) -> nn.Module:
        """Moves or converts the model and its adapters; those in full precision stay so."""
        for name, adapter in self.adapters.items():
            adapter._apply(keeping_precision(fn) if self._full_precision[name] else fn, *args)
        original(fn, *args)
        for name in self.adapters:
            self._fit(name)
        return self.model

    def _dtype_of(self, name: str) -> torch.dtype:
        """The floating type of an adapter's weights."""
        return self.base.adapter_dtype if self._full_precision[name] else self.base.dtype

    def _fit(self, name: str) -> None:
        self.attached.entries[name].fit(self.model, self._dtype_of(name))

    def install(self, owner: str, changes: list[Change]) -> None:
        """Lets ``owner`` make changes; the first owner at a site brings the hook.

        Raises:
            TypeError: something that is no change, or one that the owner makes to this module already.
        """
        entry = self.attached.entries.setdefault(owner, Entry(shares_a_batch(changes)))
        before = len(self._hooks)
        for kind, module, act in itertools.chain.from_iterable(map(hooks_of, changes)):
            hook = self._hook_at(HOOKS[kind], module)
            hook.owners.add(owner)
            key = hook.keys[kind]
            if key in entry.acts and kind != "add":
                raise TypeError(f"a second change '{kind}' of one adapter to one {type(module).__name__}")
            entry.acts[key] = _sum(entry.acts[key], act) if key in entry.acts else act
        if len(self._hooks) > before:
            forget_compiled()

    def _hook_at(self, kind: type[Hook], module: nn.Module) -> Hook:
        """The hook of one kind on a module, put there if there is none yet."""
        if (kind, module) not in self._hooks:
            self._hooks[kind, module] = kind(self.calls, self._shadows, module, next(self._sites))
        return self._hooks[kind, module]

    def uninstall(self, owner: str) -> None:
        """Takes back all that ``owner`` changed; the last owner at a site takes the hook away."""
        self.attached.entries.pop(owner, None)
        before = len(self._hooks)
        for place, hook in list(self._hooks.items()):
            hook.owners.discard(owner)
            if hook.owners:
                continue
            hook.remove()
            del self._hooks[place]
        if len(self._hooks) < before:
            forget_compiled()

    def add(self, name: str, adapter: Attachable, base: Base, active: bool = True, full_precision: bool = True) -> None:
        """Attaches an adapter, all or nothing; see :func:`lvtune.attach` for the arguments."""
        check_fit(adapter, base)
        changes = list(adapter.changes(base))
        first = not self.adapters
        try:
            if first:
                self.open()
                self.model.__dict__[LEDGER] = self
                forget_compiled()
            self.refresh()
            self._full_precision[name] = full_precision
            self.install(name, changes)
            adapter.to(device=base.device, dtype=self._dtype_of(name))
            self._fit(name)
            adapter.train(base.training)
            self.adapters[name] = adapter
            self.attached.in_front += (name,) if active else ()
        except BaseException:
            self.remove(name)
            raise

    def remove(self, name: str) -> None:
        """Detaches an adapter; does nothing if none has this name."""
        self.attached.in_front = tuple(other for other in self.attached.in_front if other != name)
        self.adapters.pop(name, None)
        self._full_precision.pop(name, None)
        self.uninstall(name)
        if not self.adapters:
            self.close()
            self.model.__dict__.pop(LEDGER, None)
            forget_compiled()


def _set_flags(flags: list[tuple[nn.Parameter, bool]], modes: list[tuple[nn.Module, bool]]) -> None:
    """Sets ``requires_grad`` of parameters and ``training`` of modules."""
    for module, mode in modes:
        module.training = mode
    for parameter, flag in flags:
        parameter.requires_grad_(flag)


def _refuse_replicas(original: Callable[..., Any]) -> NoReturn:
    raise UsageError(
        "a model with adapters in torch.nn.DataParallel, whose copies share the first device's modules",
        "a process for each device: DistributedDataParallel, or `accelerate launch`",
        "lvtune.detach(model), or leave DataParallel out",
    )  # fmt: skip


def _sum(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: first(x) + second(x)
