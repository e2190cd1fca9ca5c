"""The ledger: every change to a base, undone in any order.

An adapter says where it attaches as a list of **primitive changes**; the patcher knows nothing else about it.
Each touched module gets one dispatcher per kind of change, however many adapters share it; the dispatcher asks
which adapter is selected in this call and lets that one act. No parameter, buffer or class of the base is ever
written: the changes are forward hooks and instance-level ``forward`` functions, and ``requires_grad`` and
``training`` flags, all noted and put back.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lvtune.bases.base import Base, as_base
from lvtune.errors import LvtuneError
from lvtune.registry import suggest


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

    The queries, and so the number of tokens, stay as they are.
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


@dataclass(frozen=True)
class Selection:
    """What a caller chose: ``...`` for the adapter attached last, a name, None, or one of these per sample."""

    adapters: Any = ...
    prompt: str | tuple[str, ...] | None = None


@dataclass(frozen=True)
class _Resolved:
    """The selection of one outermost call, for one group of its samples."""

    owner: str | None
    prompts: tuple[str | None, ...] | None = None


_selections: ContextVar[dict[int, Selection]] = ContextVar("lvtune_selections", default={})  # noqa: B039
_running: ContextVar[dict[int, _Resolved]] = ContextVar("lvtune_running", default={})  # noqa: B039
_LEDGER = "_lvtune_ledger"


@dataclass
class _Dispatcher:
    """One kind of change on one module: who acts, and how to take the dispatcher off again."""

    acts: dict[str, Any] = field(default_factory=dict)
    remove: Callable[[], None] = lambda: None


class _Patched:
    """The ledger of one model."""

    def __init__(self, base: Base) -> None:
        self.model = base.model
        self._view = (type(base), base.spec)
        self.adapters: dict[str, nn.Module] = {}
        self.dispatchers: dict[tuple[str, nn.Module], _Dispatcher] = {}
        self.recent = _Resolved(None)
        self._undo: list[Callable[[], None]] = []

    def active(self) -> str | None:
        return next(reversed(self.adapters), None)

    def open(self) -> None:
        """First attachment: flags are noted, the model frozen, its forward and train routed through here."""
        model = self.model
        flags = [(p, p.requires_grad) for p in model.parameters()]
        modes = [(m, m.training) for m in model.modules()]
        self._undo.append(lambda: [p.requires_grad_(flag) for p, flag in flags])
        self._undo.append(lambda: [setattr(m, "training", mode) for m, mode in modes])
        whole_mode = model.training
        model.requires_grad_(False)
        model.eval()
        model.training = whole_mode
        self._shadow(model, "forward", self._route)
        self._shadow(model, "train", self._train)
        self._shadow(model, "_apply", self._apply)

    def close(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _shadow(self, module: nn.Module, name: str, replacement: Callable[..., Any]) -> Callable[[], None]:
        """Puts a function in front of a method, on the instance only; ``wraps`` keeps its signature."""
        before = module.__dict__.get(name)
        original = getattr(module, name)
        module.__dict__[name] = functools.wraps(original)(functools.partial(replacement, original))

        def undo() -> None:
            if before is None:
                module.__dict__.pop(name, None)
            else:
                module.__dict__[name] = before

        self._undo.append(undo)
        return undo

    def _train(self, original: Callable[..., Any], mode: bool = True) -> nn.Module:
        self.model.training = mode
        for adapter in self.adapters.values():
            adapter.train(mode)
        return self.model

    def _apply(self, original: Callable[..., Any], fn: Callable[[Tensor], Tensor], *args: Any) -> nn.Module:
        for adapter in self.adapters.values():
            adapter._apply(fn, *args)
        return original(fn, *args)

    def _route(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The outermost call: resolves the selection once and runs each group of samples under its own."""
        batch = next(a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)).shape[0]
        groups = self._resolve(_selections.get().get(id(self.model), Selection()), batch)
        if len(groups) == 1:
            return self._run(groups[0][0], original, args, kwargs)
        outputs = []
        for resolved, index in groups:
            part = [_take(a, index, batch) for a in args]
            named = {key: _take(value, index, batch) for key, value in kwargs.items()}
            outputs.append(self._run(resolved, original, part, named))
        view, spec = self._view
        return view(self.model, spec).merge_outputs(outputs, [index for _, index in groups])

    def _run(self, resolved: _Resolved, original: Callable[..., Any], args: Sequence, kwargs: dict) -> Any:
        self.recent = resolved
        token = _running.set({**_running.get(), id(self.model): resolved})
        try:
            return original(*args, **kwargs)
        finally:
            _running.reset(token)

    def _resolve(self, selection: Selection, batch: int) -> list[tuple[_Resolved, Tensor]]:
        chosen, prompt = selection.adapters, selection.prompt
        names = [self.active() if chosen is ... else chosen] * batch if _is_single(chosen) else list(chosen)
        prompts = [prompt] * batch if prompt is None or isinstance(prompt, str) else list(prompt)
        for what, given in (("adapters", names), ("prompts", prompts)):
            if len(given) != batch:
                raise LvtuneError(f"{len(given)} {what} for a batch of {batch}", "one per sample", "give as many")
        for name in set(names) - {None}:
            self.check_name(name)
        groups: list[tuple[_Resolved, Tensor]] = []
        for name in dict.fromkeys(names):
            where = [i for i, other in enumerate(names) if other == name]
            asked = tuple(prompts[i] for i in where)
            groups.append((_Resolved(name, asked if any(asked) else None), torch.tensor(where)))
        return groups or [(_Resolved(None), torch.zeros(0, dtype=torch.long))]

    def check_name(self, name: str) -> None:
        """Raises a LvtuneError naming the attached adapters if ``name`` is none of them."""
        if name not in self.adapters:
            known = list(self.adapters)
            raise LvtuneError(
                f"unknown adapter '{name}'",
                f"one of the attached ones: {', '.join(known) or 'none'}",
                suggest(name, known, "attach it first"),
            )

    def acting(self, kind: str, module: nn.Module) -> Any:
        """What the selected adapter does here, or None."""
        # recomputation under checkpointing may run on another thread, where the context is empty
        resolved = _running.get().get(id(self.model), self.recent)
        dispatcher = self.dispatchers.get((kind, module))
        return None if dispatcher is None or resolved.owner is None else dispatcher.acts.get(resolved.owner)

    def install(self, owner: str, kind: str, module: nn.Module, act: Any, hook: Callable[..., Any]) -> None:
        """Lets ``owner`` act on ``module``; the first owner brings the dispatcher, the last takes it away."""
        key = (kind, module)
        if key not in self.dispatchers:
            dispatcher = _Dispatcher()
            dispatcher.remove = hook(self, module)
            self.dispatchers[key] = dispatcher
        if owner in self.dispatchers[key].acts:
            before = self.dispatchers[key].acts[owner]
            act = _both(before, act)
        self.dispatchers[key].acts[owner] = act

    def uninstall(self, owner: str) -> None:
        for key, dispatcher in list(self.dispatchers.items()):
            dispatcher.acts.pop(owner, None)
            if not dispatcher.acts:
                dispatcher.remove()
                del self.dispatchers[key]


def _ledger(model: nn.Module) -> _Patched | None:
    return model.__dict__.get(_LEDGER)


def _is_single(chosen: object) -> bool:
    return chosen is ... or chosen is None or isinstance(chosen, str)


def _take(value: Any, index: Tensor, batch: int) -> Any:
    is_batched = isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == batch
    return value[index.to(value.device)] if is_batched else value


def _both(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: first(x) + second(x)


def _add_hook(patched: _Patched, module: nn.Module) -> Callable[[], None]:
    def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        delta = patched.acting("add", module)
        return output if delta is None else output + delta(args[0])

    # in front of appended rows: the delta has the tokens' shape
    return module.register_forward_hook(hook, prepend=True).remove


def _extend_hook(patched: _Patched, module: nn.Module) -> Callable[[], None]:
    def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        rows = patched.acting("extend", module)
        return output if rows is None else torch.cat([output, rows().expand(len(output), -1, -1)], dim=1)

    return module.register_forward_hook(hook).remove


def _insert_hook(patched: _Patched, module: nn.Module) -> Callable[[], None]:
    def hook(module: nn.Module, args: tuple) -> tuple | None:
        tokens = patched.acting("insert", module)
        if tokens is None:
            return None
        return (torch.cat([tokens().expand(len(args[0]), -1, -1), args[0]], dim=1), *args[1:])

    return module.register_forward_pre_hook(hook).remove


def _drop_hook(patched: _Patched, module: nn.Module) -> Callable[[], None]:
    def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        count = patched.acting("drop", module)
        return output if count is None else output[:, count() :]

    # in front of transformers' own output-capturing hook, which must see the patch tokens alone
    return module.register_forward_hook(hook, prepend=True).remove


def _stand_in_hook(patched: _Patched, module: nn.Module) -> Callable[[], None]:
    def replacement(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        replace = patched.acting("stand-in", module)
        if replace is None:
            return original(*args, **kwargs)
        resolved = _running.get().get(id(patched.model), patched.recent)
        return replace(Call(original, resolved.prompts), *args, **kwargs)

    undo = patched._shadow(module, "forward", replacement)
    patched._undo.remove(undo)  # it leaves with its last owner, not with the ledger
    return undo


def _install(patched: _Patched, owner: str, change: Change) -> None:
    match change:
        case AddToOutput(module, delta):
            patched.install(owner, "add", module, delta, _add_hook)
        case ExtendKeyValue(key, value, key_rows, value_rows):
            patched.install(owner, "extend", key, key_rows, _extend_hook)
            patched.install(owner, "extend", value, value_rows, _extend_hook)
        case InsertTokens(first, last, tokens):
            patched.install(owner, "insert", first, tokens, _insert_hook)
            patched.install(owner, "drop", last, lambda: tokens().shape[-2], _drop_hook)
        case StandIn(module, replace):
            patched.install(owner, "stand-in", module, replace, _stand_in_hook)
        case _:
            raise TypeError(f"unknown change {change!r}")


@dataclass(frozen=True, eq=False)
class Attachment:
    """An adapter on a base; leaving the ``with`` block, or :meth:`detach`, takes it off."""

    name: str
    adapter: nn.Module
    _patched: _Patched

    @property
    def attached(self) -> bool:
        """Whether the adapter is still on."""
        return self._patched.adapters.get(self.name) is self.adapter

    def detach(self) -> None:
        """Takes the adapter off; a second time does nothing."""
        if self.attached:
            _detach(self._patched, self.name)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exc: object) -> None:
        self.detach()


def attach(base: nn.Module, adapter: nn.Module, name: str = "default") -> Attachment:
    """Attaches an adapter; it becomes the active one. All or nothing: an error leaves the base as it was.

    Args:
        base: a base, or a plain ``transformers.VitPoseForPoseEstimation`` (compiled or not).
        adapter: from :func:`lvtune.create_adapter` or :func:`lvtune.load_adapter`.
        name: to select and detach it by.

    Raises:
        LvtuneError: the name is taken; the adapter does not fit the base.
    """
    view = as_base(base)
    patched = _ledger(view.model) or _Patched(view)
    if name in patched.adapters:
        raise LvtuneError(
            f"a second adapter named '{name}'", f"a name other than {', '.join(patched.adapters)}",
            f"attach(base, adapter, name=...) or detach(base, '{name}') first",
        )  # fmt: skip
    if any(adapter is other for other in patched.adapters.values()):
        raise LvtuneError("an adapter that is attached already", "an adapter attached once", "load it a second time")
    changes = list(adapter.changes(view))
    first = not patched.adapters
    try:
        if first:
            patched.open()
            view.model.__dict__[_LEDGER] = patched
        for change in changes:
            _install(patched, name, change)
    except BaseException:
        patched.uninstall(name)
        if first:
            patched.close()
            view.model.__dict__.pop(_LEDGER, None)
        raise
    patched.adapters[name] = adapter
    adapter.to(view.device)
    adapter.train(view.training if isinstance(base, Base) else view.model.training)
    _recompile(base)
    return Attachment(name, adapter, patched)


def detach(base: nn.Module, name: str | None = None) -> None:
    """Takes off the adapter ``name``, or all of them; the base is then bit for bit what it was.

    Raises:
        LvtuneError: no adapter of that name is attached.
    """
    patched = _ledger(as_base(base).model)
    if patched is None:
        if name is None:
            return
        raise LvtuneError(f"unknown adapter '{name}'", "one of the attached ones: none", "attach it first")
    if name is not None:
        patched.check_name(name)
    for owner in [name] if name is not None else list(reversed(patched.adapters)):
        _detach(patched, owner)
    _recompile(base)


def _detach(patched: _Patched, name: str) -> None:
    patched.uninstall(name)
    del patched.adapters[name]
    if not patched.adapters:
        patched.close()
        patched.model.__dict__.pop(_LEDGER, None)


def _recompile(model: nn.Module) -> None:
    """Compiled code does not see hooks that came after it; its caches are dropped so that the next call does."""
    inner = getattr(model, "model", model)
    compiled = any(
        hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None for m in (model, inner)
    )
    if compiled:
        torch.compiler.reset()


def attached(base: nn.Module) -> dict[str, nn.Module]:
    """Name to adapter, in the order of attaching; the last is active."""
    patched = _ledger(as_base(base).model)
    return {} if patched is None else dict(patched.adapters)


def set_mode(model: nn.Module, mode: bool) -> None:
    """Puts the adapters attached to ``model`` in training or evaluation mode."""
    patched = _ledger(model)
    if patched is not None:
        patched._train(model.train, mode)


@contextlib.contextmanager
def use_adapter(
    model: nn.Module,
    adapters: str | None | Sequence[str | None] | Any = ...,
    *,
    prompt: str | Sequence[str] | None = None,
) -> Iterator[None]:
    """Selects adapters for the calls inside the block, in this thread or task only.

    Args:
        model: a base or a plain model.
        adapters: a name, None for the bare base, or one of these per sample; ``...`` for the last attached.
        prompt: category whose sentence is read, or one per sample; None: the mean of the adapter's sentences.

    Raises:
        LvtuneError: a name that is not attached.
    """
    view = as_base(model)
    patched = _ledger(view.model)
    names = [adapters] if _is_single(adapters) else list(adapters)
    for name in (n for n in names if n is not None and n is not ...):
        (patched or _Patched(view)).check_name(name)
    chosen = adapters if _is_single(adapters) else tuple(adapters)
    asked = prompt if prompt is None or isinstance(prompt, str) else tuple(prompt)
    token = _selections.set({**_selections.get(), id(view.model): Selection(chosen, asked)})
    try:
        yield
    finally:
        _selections.reset(token)
