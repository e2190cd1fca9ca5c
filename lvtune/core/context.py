"""Keeps in a context variable which adapter a caller has chosen for the calls of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.core.text import brief

if TYPE_CHECKING:
    from torch import nn

AUTO = "auto"
"""In place of an adapter's name: the pictures decide (:mod:`lvtune.patcher.automatic`)."""
LEDGER = "_lvtune_ledger"
"""The attribute of a model that holds its ledger: an object with ``adapters``, a dict by name, and ``refresh()``."""


@dataclass(frozen=True)
class Selection:
    """The choice of a caller: which adapter acts, and which category's sentence it reads."""

    adapters: Any = ...
    """``...`` for the adapter attached last, a name, None for none, or a tuple with one of these per sample; or
    ``AUTO``, or a function of (base, attached adapters by name, pixel values) that returns one per sample."""
    category: str | tuple[str | None, ...] | None = None
    """One category, a tuple with one per sample, or None for the mean of all sentences."""

    @property
    def is_single(self) -> bool:
        """Returns True if one adapter is chosen for all samples."""
        return is_single(self.adapters)

    @property
    def is_automatic(self) -> bool:
        """Returns True if the pictures decide."""
        return self.adapters == AUTO or callable(self.adapters)

    def groups(self, active: str | None, batch: int) -> list[Group]:
        """Returns the samples of each adapter; the adapters are in the order of their first sample.

        Args:
            active: name of the adapter attached last, or None.
            batch: number of samples.

        Raises:
            UsageError: a list of another length than the batch.
        """
        names = [self.adapters] * batch if self.is_single else list(self.adapters)
        categories = list(self.category) if isinstance(self.category, tuple) else [self.category] * batch
        for what, given in (("adapters", names), ("categories", categories)):
            if len(given) != batch:
                raise UsageError(f"{len(given)} {what} for a batch of {batch}", "one per sample", "give as many")
        if not batch:
            owner = self.adapters if self.is_single else None
            return [Group(active if owner is ... else owner, [], ())]
        places: dict[str | None, list[int]] = {}
        for place, name in enumerate(names):
            places.setdefault(active if name is ... else name, []).append(place)
        return [Group(owner, own, tuple(categories[i] or None for i in own)) for owner, own in places.items()]


@dataclass(frozen=True)
class Group:
    """The samples of a batch that one adapter takes."""

    owner: str | None
    """Name of the adapter; None: the base alone."""
    places: list[int]
    """Indices in the batch."""
    requested: tuple[str | None, ...]
    """The category of each sample; None where the caller gave none."""

    @property
    def categories(self) -> tuple[str | None, ...] | None:
        """Returns one category per sample, or None if the caller gave none for any."""
        return self.requested if any(self.requested) else None


chosen: ContextVar[dict[int, Selection]] = ContextVar("lvtune_chosen", default={})  # noqa: B039
"""Maps the id of a model to its caller's choice. The dict is never changed in place."""


def is_single(adapters: object) -> bool:
    """Returns True if a choice is one adapter, not a list with one per sample."""
    return adapters is ... or adapters is None or isinstance(adapters, str) or callable(adapters)


def as_choice(adapters: Any, category: Any, outer: Selection) -> Selection:
    """Returns a caller's arguments as a selection.

    Args:
        adapters: see :class:`Selection`; ``...`` keeps the choice of ``outer``.
        category: likewise.
        outer: the choice of the block around this one.

    Raises:
        UsageError: neither a name nor a list of names.
    """
    if not (is_single(adapters) or isinstance(adapters, Iterable)):
        raise UsageError(
            f"adapters = {brief(adapters)}", "a name, None, or one of these per sample", 'adapters=["sketch", None]'
        )
    names = outer.adapters if adapters is ... else adapters if is_single(adapters) else tuple(adapters)
    categories = outer.category if category is ... else tuple(category) if _is_list(category) else category
    return Selection(names, categories)


def _is_list(category: object) -> bool:
    return isinstance(category, Sequence) and not isinstance(category, str)


def is_attached(model: nn.Module) -> bool:
    """Returns True if an adapter is attached to ``model``."""
    return LEDGER in vars(model)


def check_name(model: nn.Module, name: str | None) -> None:
    """Checks that ``name`` is None or an adapter attached to ``model``.

    Raises:
        UsageError: it is neither; the error lists the attached adapters.
    """
    known = list(vars(model)[LEDGER].adapters) if is_attached(model) else []
    if name is not None and name not in known:
        raise UsageError(
            f"unknown adapter '{name}'",
            f"one of the attached ones: {', '.join(known) or 'none'}",
            suggest(name, known, "attach it first"),
        )


@contextlib.contextmanager
def choose_adapters(model: nn.Module, adapters: Any = ..., category: Any = ...) -> Iterator[None]:
    """Chooses adapters for the calls of ``model`` inside the block, in this thread or task only.

    Args:
        model: the estimator itself, not the base around it.
        adapters: as for :func:`lvtune.use_adapter`; ``...`` keeps the choice of the block around this one.
        category: likewise.

    Raises:
        UsageError: a name that is not attached; neither a name nor a list of names.
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
