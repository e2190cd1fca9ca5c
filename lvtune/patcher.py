"""The ledger: every change to a base, undone in any order.

An adapter says where it attaches as a list of **primitive changes** (:mod:`lvtune.changes`); the patcher knows
nothing else about it. Each touched module gets one hook per kind of change, however many adapters share it; the
hook asks which adapter is selected in this call (:mod:`lvtune.selection`) and lets that one act. No parameter,
buffer or class of the base is ever written: the changes are forward hooks and instance-level ``forward``
functions, and ``requires_grad`` and ``training`` flags, all noted and put back.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from lvtune.bases.base import Base, as_base
from lvtune.changes import (
    HOOKS,
    AddToOutput,
    Call,
    Change,
    ExtendKeyValue,
    Hook,
    InsertTokens,
    StandIn,
    hooks_of,
    shadow,
)
from lvtune.errors import LvtuneError
from lvtune.registry import suggest
from lvtune.selection import Groups, Recomputation, Resolved, Selection, as_choice, chosen, is_single, running

_LEDGER = "_lvtune_ledger"


@dataclass
class _Dispatcher:
    """A hook on a module: who does what there, and how to take the hook off again."""

    remove: Callable[[], None]
    acts: dict[tuple[str | None, str], Any] = field(default_factory=dict)


class Ledger:
    """What is attached to one model, and how it is undone."""

    def __init__(self, base: Base) -> None:
        self.base, self.model = base, base.model
        self.adapters: dict[str, nn.Module] = {}
        self._dispatchers: dict[tuple[Hook, nn.Module], _Dispatcher] = {}
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
        self._undo.append(shadow(model, "forward", self._route))
        self._undo.append(shadow(model, "train", self._train))
        self._undo.append(shadow(model, "_apply", self._apply))

    def close(self) -> None:
        """Last detachment: all is put back."""
        while self._undo:
            self._undo.pop()()

    @property
    def active(self) -> str | None:
        """The adapter attached last."""
        return next(reversed(self.adapters), None)

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

    # read in plain Python, so that the compiled part begins behind it, whole
    @torch.compiler.disable(recursive=False)
    def _route(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The outermost call: resolves the selection once and runs each group of samples under its own."""
        selection, remembered = chosen.get().get(id(self.model)), self._recomputation.groups
        if selection is None and remembered is None:
            return self._run(Resolved(self.active), original, args, kwargs)
        bound = self._signature.bind(*args, **kwargs)
        batch = len(bound.arguments[self.base.batched[0]])
        groups = remembered if selection is None else selection.resolve(self.active, batch)
        for resolved, _ in groups:
            self.check_name(resolved.owner)
        if len(groups) == 1:
            return self._run(groups[0][0], original, args, kwargs, groups)
        outputs = []
        for resolved, index in groups:
            part = self._signature.bind(*args, **kwargs)
            for name in self.base.batched:
                value = part.arguments.get(name)
                if isinstance(value, Tensor) and len(value) == batch:
                    part.arguments[name] = value[index.to(value.device)]
            outputs.append(self._run(resolved, original, part.args, part.kwargs))
        merged = self.base.merge_outputs(outputs, [index for _, index in groups])
        self._recomputation.note(self.base.heatmaps_of(merged), None, groups)
        return merged

    def _run(
        self,
        resolved: Resolved,
        original: Callable[..., Any],
        args: Sequence,
        kwargs: dict,
        groups: Groups | None = None,
    ) -> Any:
        token = running.set({**running.get(), id(self.model): resolved})
        try:
            output = original(*args, **kwargs)
        finally:
            running.reset(token)
        self._recomputation.note(self.base.heatmaps_of(output), resolved, groups)
        return output

    def current(self) -> Resolved:
        """What the call under way has resolved; for a part of the model called by itself, what is chosen now.

        Raises:
            LvtuneError: a part of the model is called by itself under one adapter per sample.
        """
        resolved = running.get().get(id(self.model)) or self._recomputation.resolved
        if resolved is not None:
            return resolved
        selection = chosen.get().get(id(self.model), Selection())
        if not selection.is_single:
            raise LvtuneError(
                "one adapter per sample for a part of the model", "a call of the whole model, or one adapter",
                "call the model itself",
            )  # fmt: skip
        owner = self.active if selection.adapters is ... else selection.adapters
        return Resolved(owner, selection.prompt)

    def check_name(self, name: str | None) -> None:
        """Raises a LvtuneError naming the attached adapters if ``name`` is none of them."""
        if name is not None and name not in self.adapters:
            known = list(self.adapters)
            raise LvtuneError(
                f"unknown adapter '{name}'",
                f"one of the attached ones: {', '.join(known) or 'none'}",
                suggest(name, known, "attach it first"),
            )

    def acting(self, kind: str, module: nn.Module) -> Any:
        """What the selected adapter does here, or None."""
        dispatcher = self._dispatchers.get((HOOKS[kind], module))
        return None if dispatcher is None else dispatcher.acts.get((self.current().owner, kind))

    def install(self, owner: str, change: Change) -> None:
        """Lets ``owner`` make a change; the first owner brings the hook, the last takes it away.

        Raises:
            TypeError: not a change, or one that the owner makes to this module already.
        """
        for kind, module, act in hooks_of(change):
            hook = HOOKS[kind]
            if (hook, module) not in self._dispatchers:
                self._dispatchers[hook, module] = _Dispatcher(hook(self, module))
            acts = self._dispatchers[hook, module].acts
            before = acts.get((owner, kind))
            if before is not None and kind != "add":
                raise TypeError(f"a second change '{kind}' of one adapter to one {type(module).__name__}")
            acts[owner, kind] = act if before is None else _sum(before, act)

    def uninstall(self, owner: str) -> None:
        """Takes back all that ``owner`` changed."""
        for key, dispatcher in list(self._dispatchers.items()):
            dispatcher.acts = {who: act for who, act in dispatcher.acts.items() if who[0] != owner}
            if not dispatcher.acts:
                dispatcher.remove()
                del self._dispatchers[key]

    def add(self, name: str, adapter: nn.Module, base: Base) -> None:
        """Attaches, all or nothing."""
        _check_fit(adapter, base)
        changes = list(adapter.changes(base))
        first = not self.adapters
        try:
            if first:
                self.open()
                self.model.__dict__[_LEDGER] = self
            for change in changes:
                self.install(name, change)
            adapter.to(device=base.device, dtype=base.dtype)
            adapter.train(base.training)
            self.adapters[name] = adapter
        except BaseException:
            self.remove(name)
            raise
        _forget_compiled()

    def remove(self, name: str) -> None:
        """Detaches."""
        self.uninstall(name)
        self.adapters.pop(name, None)
        if not self.adapters:
            self.close()
            self.model.__dict__.pop(_LEDGER, None)
        _forget_compiled()


def _ledger(model: nn.Module) -> Ledger | None:
    return model.__dict__.get(_LEDGER)


def _sum(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: first(x) + second(x)


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's parameters, compiled or not."""
    return {name.replace("_orig_mod.", ""): tuple(value.shape) for name, value in model.named_parameters()}


def _check_fit(adapter: nn.Module, base: Base) -> None:
    """Raises a LvtuneError if the adapter was made for a base of other shapes; where it does not say, it may try."""
    wanted, found = vars(adapter).get("base_shapes"), shapes_of(base.model)
    if wanted is not None and wanted != found:
        name = next(n for n in {**wanted, **found} if wanted.get(n) != found.get(n))
        raise LvtuneError(
            f"an adapter for a base whose {name} is {wanted.get(name, 'not there')}",
            f"one for {base.name}, whose {name} is {found.get(name, 'not there')}",
            "load the base that the adapter was made for",
        )


def _forget_compiled() -> None:
    """Compiled code does not see hooks that came after it, so all of it is compiled afresh at its next call."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


@dataclass(frozen=True, eq=False)
class Attachment:
    """An adapter on a base; leaving the ``with`` block, or :meth:`detach`, takes it off."""

    name: str
    adapter: nn.Module
    _ledger: Ledger

    @property
    def attached(self) -> bool:
        """Whether the adapter is still on."""
        return self._ledger.adapters.get(self.name) is self.adapter

    def detach(self) -> None:
        """Takes the adapter off; a second time does nothing."""
        if self.attached:
            self._ledger.remove(self.name)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exc: object) -> None:
        self.detach()


def attach(base: nn.Module, adapter: nn.Module, name: str = "default") -> Attachment:
    """Attaches an adapter; it becomes the active one. All or nothing: an error leaves the base as it was.

    The adapter moves to the base's device and floating dtype, and takes over its mode (training or not).

    Args:
        base: a base, or a plain ``transformers.VitPoseForPoseEstimation`` (compiled or not).
        adapter: from :func:`lvtune.create_adapter` or :func:`lvtune.load_adapter`.
        name: to select and detach it by.

    Raises:
        LvtuneError: the name is taken; the adapter does not fit the base.
    """
    view = as_base(base)
    ledger = _ledger(view.model) or Ledger(view)
    if name in ledger.adapters:
        raise LvtuneError(
            f"a second adapter named '{name}'", f"a name other than {', '.join(ledger.adapters)}",
            f"attach(base, adapter, name=...) or detach(base, '{name}') first",
        )  # fmt: skip
    if any(adapter is other for other in ledger.adapters.values()):
        raise LvtuneError("an adapter that is attached already", "an adapter attached once", "load it a second time")
    ledger.add(name, adapter, view)
    return Attachment(name, adapter, ledger)


def detach(base: nn.Module, name: str | None = None) -> None:
    """Takes off the adapter ``name``, or all of them; the base is then bit for bit what it was.

    Raises:
        LvtuneError: no adapter of that name is attached.
    """
    view = as_base(base)
    ledger = _ledger(view.model) or Ledger(view)
    ledger.check_name(name)
    for owner in [name] if name is not None else list(reversed(ledger.adapters)):
        ledger.remove(owner)


def attached(base: nn.Module) -> dict[str, nn.Module]:
    """Name to adapter, in the order of attaching; the last is active."""
    ledger = _ledger(as_base(base).model)
    return {} if ledger is None else dict(ledger.adapters)


def set_mode(model: nn.Module, mode: bool) -> None:
    """Puts the adapters attached to ``model`` in training or evaluation mode."""
    ledger = _ledger(model)
    if ledger is not None:
        ledger.set_mode(mode)


@contextlib.contextmanager
def use_adapter(
    model: nn.Module,
    adapters: str | Sequence[str | None] | Any | None = ...,
    *,
    prompt: str | Sequence[str | None] | Any | None = ...,
) -> Iterator[None]:
    """Selects adapters for the calls inside the block, in this thread or task only.

    What is left out stays as a block outside this one has it.

    Args:
        model: a base or a plain model.
        adapters: a name, None for the bare base, or one of these per sample. Nowhere chosen: the last attached.
        prompt: category whose sentence is read, or one per sample; None (and nowhere chosen): the mean of the
            adapter's sentences.

    Raises:
        LvtuneError: a name that is not attached.
    """
    view = as_base(model)
    key, ledger = id(view.model), _ledger(view.model) or Ledger(view)
    selection = as_choice(adapters, prompt, chosen.get().get(key, Selection()))
    for name in [selection.adapters] if is_single(selection.adapters) else selection.adapters:
        ledger.check_name(None if name is ... else name)
    token = chosen.set({**chosen.get(), key: selection})
    try:
        yield
    finally:
        chosen.reset(token)


__all__ = [
    "AddToOutput",
    "Attachment",
    "Call",
    "Change",
    "ExtendKeyValue",
    "InsertTokens",
    "Ledger",
    "StandIn",
    "attach",
    "attached",
    "detach",
    "set_mode",
    "shapes_of",
    "use_adapter",
]
