"""Which samples of a call go under which adapter.

A batch under several adapters goes through the model once where it can. Its samples are sorted, so that those of one
adapter lie next to each other, and at every site each adapter acts on its own rows. It cannot where gradients are
wanted, tokens are inserted, or the base does not say how its modules lay samples out. Then the model is called once
for each adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

Key = tuple[int, str]
"""A site, and a kind of ``lvtune.patcher.hooks.HOOKS``."""
Plan = Mapping[Key, Any]
"""What an adapter does at each site."""


@dataclass(frozen=True, eq=False)
class Several:
    """The calls of the model that one adapter needs, where it needs several."""

    plans: tuple[tuple[Plan, Callable[[str], str | None]], ...]
    """What is done at each site in each call, and which category is read in it where the caller chose one."""
    join: Callable[[Sequence[Tensor]], Tensor]
    """Makes the heatmaps of those of the calls."""


@dataclass(frozen=True, eq=False)
class Part:
    """Samples ``start`` to ``stop`` of a call, which go under one adapter; all samples where a call has one part."""

    plan: Plan
    categories: str | tuple[str | None, ...] | None = None
    """The chosen category, or one per sample; None where none is chosen."""
    start: int = 0
    stop: int | None = None
    several: Several | None = None
    """The calls that it needs, where one is not enough; ``plan`` is empty then."""
    memo: dict[Any, Any] | None = field(default_factory=dict)
    """What its layers have in common, made once in the call; see :meth:`lvtune.bases.changes.Call.once`. None: a part
    of the model runs by itself, and nothing is kept."""
    draws: dict[Any, Any] | None = field(default_factory=dict)
    """Random numbers of its layers, kept for a backward pass; see :meth:`lvtune.bases.changes.Call.drawn`."""

    def passes(self) -> list[Part]:
        """Returns the part of each call that it needs."""
        if self.several is None:
            return [self]
        return [replace(self, plan=plan, categories=_read(self.categories, category), several=None)
                for plan, category in self.several.plans]  # fmt: skip

    def rows(self, routing: Routing, total: int) -> slice:
        """Returns where the samples lie in the first dimension of ``total`` rows; each sample has equally many."""
        if routing.batch is None or self.stop is None:  # a call under one adapter, which takes any number
            return slice(0, total)
        each = total // routing.batch
        return slice(self.start * each, self.stop * each)

    @property
    def chosen_categories(self) -> tuple[str | None, ...] | None:
        """The chosen categories: one per sample, or one for all; None where none is chosen."""
        return (self.categories,) if isinstance(self.categories, str) else self.categories


@dataclass(frozen=True, eq=False)
class Routing:
    """What a call resolved: its parts, from the first sample to the last."""

    parts: tuple[Part, ...]

    @property
    def batch(self) -> int | None:
        """Number of samples in the call; None for a single part, which takes any number."""
        return self.parts[-1].stop

    @property
    def only(self) -> Part | None:
        """The part of a call under one adapter; None for a mixed batch."""
        return self.parts[0] if len(self.parts) == 1 else None

    def calls_of(self, keys: Sequence[Key], total: int) -> Iterator[tuple[Routing, slice]]:
        """Yields the calls that one module needs, each with its rows of ``total``.

        There is one call for each adapter that acts there (its plan has one of ``keys``), and one for each run of
        neighbouring samples whose adapters do not.
        """
        pending: list[Part] = []
        for part in (*self.parts, None):
            idle = part is not None and not any(key in part.plan for key in keys)
            if pending and not idle:
                yield (
                    Routing(_from_zero(pending)),
                    slice(pending[0].rows(self, total).start, pending[-1].rows(self, total).stop),
                )
                pending = []
            if part is None:
                continue
            if idle:
                pending.append(part)
            else:
                yield Routing(_from_zero([part])), part.rows(self, total)


def _read(
    categories: str | tuple[str | None, ...] | None, category: Callable[[str], str | None]
) -> str | tuple[str | None, ...] | None:
    """The categories that a call reads, of those that the caller chose."""
    if categories is None:
        return None
    if isinstance(categories, str):
        return category(categories)
    return tuple(None if name is None else category(name) for name in categories)


def _from_zero(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Returns neighbouring parts, renumbered as the samples of a call of their own."""
    first = parts[0].start
    return tuple(replace(part, start=part.start - first, stop=part.stop and part.stop - first) for part in parts)
