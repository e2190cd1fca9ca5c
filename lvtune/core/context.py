"""Which adapter acts: the choice of a caller, kept in a context variable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest

if TYPE_CHECKING:
    from torch import nn

AUTO = "auto"
"""In place of a name: the ledger asks the pictures."""
LEDGER = "_lvtune_ledger"
"""Where a model keeps what is attached to it: an object with ``adapters``, a dict by name, and ``refresh()``."""


@dataclass(frozen=True)
class Selection:
    """What a caller chose: ``...`` for the adapter attached last, a name, None, or one of these per sample.

    Or ``AUTO``, or a function of (base, attached adapters by name, pixel values) that gives one per sample.
    """

    adapters: Any = ...
    category: str | tuple[str | None, ...] | None = None

    @property
    def is_single(self) -> bool:
        """Whether one adapter is chosen for all samples."""
        return is_single(self.adapters)

    @property
    def is_automatic(self) -> bool:
        """Whether the pictures decide."""
        return self.adapters == AUTO or callable(self.adapters)

    def groups(self, active: str | None, batch: int) -> list[Group]:
        """The samples under each adapter, in the order in which the adapters first come.

        Raises:
            LvtuneError: a list of another length than the batch.
        """
        names = [self.adapters] * batch if self.is_single else list(self.adapters)
        categories = list(self.category) if isinstance(self.category, tuple) else [self.category] * batch
        for what, given in (("adapters", names), ("categories", categories)):
            if len(given) != batch:
                raise LvtuneError(f"{len(given)} {what} for a batch of {batch}", "one per sample", "give as many")
        if not batch:
            owner = self.adapters if self.is_single else None
            return [Group(active if owner is ... else owner, [], ())]
        places: dict[str | None, list[int]] = {}
        for place, name in enumerate(names):
            places.setdefault(active if name is ... else name, []).append(place)
        return [Group(owner, own, tuple(categories[i] or None for i in own)) for owner, own in places.items()]


@dataclass(frozen=True)
class Group:
    """The samples of a batch that go under one adapter."""

    owner: str | None
    places: list[int]
    asked: tuple[str | None, ...]
    """The category asked for, for each."""

    @property
    def categories(self) -> tuple[str | None, ...] | None:
        """One category per sample, or None where nobody asked."""
        return self.asked if any(self.asked) else None


chosen: ContextVar[dict[int, Selection]] = ContextVar("lvtune_chosen", default={})  # noqa: B039
"""id of a model to what its caller chose; never changed in place."""


def is_single(adapters: object) -> bool:
    """Whether a choice is one adapter, not a list of one per sample."""
    return adapters is ... or adapters is None or isinstance(adapters, str) or callable(adapters)


def as_choice(adapters: Any, category: Any, outer: Selection) -> Selection:
    """A caller's arguments as a selection; what is ``...`` is left as the caller outside chose it.

    Raises:
        LvtuneError: neither a name nor a list of names.
    """
    if not (is_single(adapters) or isinstance(adapters, Iterable)):
        raise LvtuneError(
            f"adapters = {adapters!r}", "a name, None, or one of these per sample", 'adapters=["sketch", None]'
        )
    names = outer.adapters if adapters is ... else adapters if is_single(adapters) else tuple(adapters)
    asked = outer.category if category is ... else tuple(category) if _is_list(category) else category
    return Selection(names, asked)


def _is_list(category: object) -> bool:
    return isinstance(category, Sequence) and not isinstance(category, str)


def is_attached(model: nn.Module) -> bool:
    """Returns True if an adapter is attached to ``model``."""
    return LEDGER in vars(model)


def check_name(model: nn.Module, name: str | None) -> None:
    """Checks that ``name`` is None or an adapter attached to ``model``.

    Raises:
        LvtuneError: it is neither; the error lists the attached adapters.
    """
    known = list(vars(model)[LEDGER].adapters) if is_attached(model) else []
    if name is not None and name not in known:
        raise LvtuneError(
            f"unknown adapter '{name}'",
            f"one of the attached ones: {', '.join(known) or 'none'}",
            suggest(name, known, "attach it first"),
        )


@contextlib.contextmanager
def choose_adapters(model: nn.Module, adapters: Any = ..., category: Any = ...) -> Iterator[None]:
    """Chooses adapters for the calls of ``model`` inside the block, in this thread or task only.

    Args:
        model: the estimator itself, not the base around it.
        adapters: as for :func:`lvtune.use_adapter`; ``...`` keeps what a block outside this one chose.
        category: likewise.

    Raises:
        LvtuneError: a name that is not attached; neither a name nor names.
    """
    selection = as_choice(adapters, category, chosen.get().get(id(model), Selection()))
    if not selection.is_automatic:
        for name in [selection.adapters] if selection.is_single else selection.adapters:
            check_name(model, None if name is ... else name)
    if is_attached(model):
        vars(model)[LEDGER].refresh()
    token = chosen.set({**chosen.get(), id(model): selection})
    try:
        yield
    finally:
        chosen.reset(token)
