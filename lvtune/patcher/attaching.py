"""Attaches adapters to a base, chooses among them, and takes them off: the functions that users call.

What is attached to a model, and how it is undone, is kept by :mod:`lvtune.patcher.ledger`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from lvtune.bases.attachable import Attachable
from lvtune.bases.base import as_base
from lvtune.core.context import AUTO, LEDGER, Selection, check_name, choose_adapters, chosen
from lvtune.core.errors import UsageError
from lvtune.patcher.ledger import Ledger

_changing = threading.RLock()
"""Held while adapters come and go: else two threads that attach to a bare model would each open a ledger."""


def _ledger(model: nn.Module) -> Ledger | None:
    return model.__dict__.get(LEDGER)


@dataclass(frozen=True, eq=False)
class Attachment:
    """An adapter on a base. Leaving the ``with`` block takes it off, and so does :meth:`detach`."""

    name: str
    adapter: Attachable
    _ledger: Ledger

    @property
    def attached(self) -> bool:
        """True while the adapter is attached."""
        return self._ledger.adapters.get(self.name) is self.adapter

    def detach(self) -> None:
        """Takes the adapter off; does nothing if it is off already."""
        with _changing:
            if self.attached:
                self._ledger.remove(self.name)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exc: object) -> None:
        self.detach()


def attach(
    base: nn.Module, adapter: nn.Module, name: str = "default", *, active: bool = True, full_precision: bool = True
) -> Attachment:
    """Attaches an adapter, which becomes the active one. An error leaves the base as it was.

    The adapter moves to the base's device and takes over its mode (training or evaluation). Over a base in bfloat16
    or float16 it computes with float32 weights, so that small updates are not lost; outputs are in the base's type.

    Args:
        base: a base, or a plain ``transformers.VitPoseForPoseEstimation`` (compiled or not).
        adapter: from :func:`lvtune.create_adapter` or :func:`lvtune.load_adapter`.
        name: to select and detach it by.
        active: if True, it acts where nobody chooses; otherwise the one before stays active, or the bare base does.
        full_precision: False converts the adapter to the base's own floating type, which halves the memory of an
            adapter that is only used, not tuned.

    Raises:
        UsageError: the name is taken; the adapter is attached already, or does not fit the base.
    """
    view = as_base(base)
    if name == AUTO:
        raise UsageError(
            f"an adapter named '{AUTO}'", f"another name; '{AUTO}' chooses among the attached adapters",
            "attach(base, adapter, name=...)",
        )  # fmt: skip
    with _changing:
        ledger = _ledger(view.model) or Ledger(view)
        one = cast(Attachable, adapter)  # any module that says its changes will do
        _check_free(ledger, name, one)
        ledger.add(name, one, view, active, full_precision)
    return Attachment(name, one, ledger)


def _check_free(ledger: Ledger, name: str, adapter: Attachable) -> None:
    if name in ledger.adapters:
        raise UsageError(
            f"a second adapter named '{name}'", f"a name other than {', '.join(ledger.adapters)}",
            f"attach(base, adapter, name=...) or detach(base, '{name}') first",
        )  # fmt: skip
    if any(adapter is other for other in ledger.adapters.values()):
        raise UsageError("an adapter that is attached already", "an adapter attached once", "load it a second time")


def detach(base: nn.Module, name: str | None = None) -> None:
    """Takes off the adapter ``name``, or all adapters if no name is given.

    Without adapters, the base is bit for bit what it was.

    Raises:
        UsageError: no adapter of this name is attached.
    """
    view = as_base(base)
    with _changing:
        check_name(view.model, name)
        ledger = _ledger(view.model)
        if ledger is None:
            return
        for owner in [name] if name is not None else list(reversed(ledger.adapters)):
            ledger.remove(owner)


def attached(base: nn.Module) -> dict[str, Attachable]:
    """Returns the attached adapters by name, in the order of attaching; the last one attached as active is active."""
    ledger = _ledger(as_base(base).model)
    return {} if ledger is None else dict(ledger.adapters)


def acting(base: nn.Module) -> Attachable | None:
    """Returns the adapter that a call here and now would go under; None: the bare base.

    Raises:
        UsageError: one adapter per sample is chosen.
    """
    view = as_base(base)
    ledger, selection = _ledger(view.model), chosen.get().get(id(view.model), Selection())
    if not selection.is_single or selection.is_automatic:
        raise UsageError(
            "a call under one adapter per sample", "one adapter for all samples", "choose one with use_adapter"
        )
    if ledger is None:
        return None
    name = ledger.attached.active if selection.adapters is ... else selection.adapters
    return None if name is None else ledger.adapters.get(name)


@contextlib.contextmanager
def use_adapter(
    model: nn.Module,
    adapters: str | Sequence[str | None] | Any | None = ...,
    *,
    category: str | Sequence[str | None] | Any | None = ...,
) -> Iterator[None]:
    """Chooses adapters for the calls inside the block, in this thread or task only.

    An argument that is left out stays as an enclosing block has it.

    Args:
        model: a base or a plain model.
        adapters: a name, None for the bare base, or one of these per sample; ``"auto"``, a :class:`lvtune.Gate` or a
            :class:`lvtune.Auto` chooses by the looks of each picture. If no block chooses, the adapter attached last
            acts.
        category: category whose sentence is read, or one per sample; None: the mean of the adapter's sentences. If no
            block chooses, the mean is read.

    Raises:
        UsageError: a name that is not attached; neither a name nor a list of names.
    """
    with choose_adapters(as_base(model).model, adapters, category):
        yield
