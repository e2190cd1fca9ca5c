"""Attaching adapters to a base, choosing among them, and taking them off: what users call.

The changes themselves are kept by the :mod:`lvtune.patcher.ledger`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from lvtune.bases.attachable import Attachable
from lvtune.bases.base import as_base
from lvtune.core.context import AUTO, LEDGER, Selection, check_name, choose_adapters, chosen
from lvtune.core.errors import LvtuneError
from lvtune.patcher.ledger import Ledger

_changing = threading.RLock()
"""Held while a model changes: two threads that attach to a bare one would each open a ledger."""


def _ledger(model: nn.Module) -> Ledger | None:
    return model.__dict__.get(LEDGER)


@dataclass(frozen=True, eq=False)
class Attachment:
    """An adapter on a base; leaving the ``with`` block, or :meth:`detach`, takes it off."""

    name: str
    adapter: Attachable
    _ledger: Ledger

    @property
    def attached(self) -> bool:
        """Whether the adapter is still on."""
        return self._ledger.adapters.get(self.name) is self.adapter

    def detach(self) -> None:
        """Takes the adapter off; a second time does nothing."""
        with _changing:
            if self.attached:
                self._ledger.remove(self.name)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exc: object) -> None:
        self.detach()


def attach(
    base: nn.Module, adapter: Attachable, name: str = "default", *, active: bool = True, full_precision: bool = True
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
        LvtuneError: the name is taken; the adapter does not fit the base.
    """
    view = as_base(base)
    if name == AUTO:
        raise LvtuneError(
            f"an adapter named '{AUTO}'", f"another name: '{AUTO}' chooses among the attached ones",
            "attach(base, adapter, name=...)",
        )  # fmt: skip
    with _changing:
        ledger = _ledger(view.model) or Ledger(view)
        _check_free(ledger, name, adapter)
        ledger.add(name, adapter, view, active, full_precision)
    return Attachment(name, adapter, ledger)


def _check_free(ledger: Ledger, name: str, adapter: Attachable) -> None:
    if name in ledger.adapters:
        raise LvtuneError(
            f"a second adapter named '{name}'", f"a name other than {', '.join(ledger.adapters)}",
            f"attach(base, adapter, name=...) or detach(base, '{name}') first",
        )  # fmt: skip
    if any(adapter is other for other in ledger.adapters.values()):
        raise LvtuneError("an adapter that is attached already", "an adapter attached once", "load it a second time")


def detach(base: nn.Module, name: str | None = None) -> None:
    """Takes off the adapter ``name``, or all of them; the base is then bit for bit what it was.

    Raises:
        LvtuneError: no adapter of that name is attached.
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
    """Name to adapter, in the order of attaching; the last one attached as active is the active one."""
    ledger = _ledger(as_base(base).model)
    return {} if ledger is None else dict(ledger.adapters)


def acting(base: nn.Module) -> Attachable | None:
    """The adapter that a call here and now goes under; None: the bare base.

    Raises:
        LvtuneError: one per sample is chosen.
    """
    view = as_base(base)
    ledger, selection = _ledger(view.model), chosen.get().get(id(view.model), Selection())
    if not selection.is_single or selection.is_automatic:
        raise LvtuneError("a call under one adapter per sample", "one adapter for all", "choose one with use_adapter")
    if ledger is None:
        return None
    return ledger.adapters.get(ledger.attached.active if selection.adapters is ... else selection.adapters)


@contextlib.contextmanager
def use_adapter(
    model: nn.Module,
    adapters: str | Sequence[str | None] | Any | None = ...,
    *,
    category: str | Sequence[str | None] | Any | None = ...,
) -> Iterator[None]:
    """Selects adapters for the calls inside the block, in this thread or task only.

    What is left out stays as a block outside this one has it.

    Args:
        model: a base or a plain model.
        adapters: a name, None for the bare base, or one of these per sample. Nowhere chosen: the last attached.
            ``"auto"``, or a :class:`lvtune.Auto`: each sample's own, by the looks of the picture.
        category: category whose sentence is read, or one per sample; None (and nowhere chosen): the mean of the
            adapter's sentences.

    Raises:
        LvtuneError: a name that is not attached; neither a name nor names.
    """
    with choose_adapters(as_base(model).model, adapters, category):
        yield
