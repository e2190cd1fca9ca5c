"""Chooses an adapter for each picture, and makes it the active one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.core.context import AUTO
from lvtune.core.errors import UsageError
from lvtune.hub.adapter_loading import open_adapter
from lvtune.language.ranking import RANKER
from lvtune.patcher.attaching import attach, attached, use_adapter
from lvtune.patcher.automatic import Auto, why_no_gate
from lvtune.patcher.gate import Choice, Gate, has_gates, looks_of

if TYPE_CHECKING:
    from lvtune.bases.attachable import Attachable
    from lvtune.bases.base import Base


@dataclass(frozen=True)
class Router:
    """Several adapters, and the rule that chooses one for each picture."""

    adapters: Mapping[str, Attachable]
    rule: Auto | Gate | str
    """Chooses by the looks of a picture; or the name of the adapter that all pictures get."""
    own: bool
    """True if they are attached already, and stay."""
    said: Mapping[str, tuple[str, ...]]
    """The sentences that each adapter is chosen by; none with a gate."""

    def choose(self, base: Base, pictures: Sequence[np.ndarray]) -> list[Choice]:
        """Returns what is chosen for each picture (H, W, 3), uint8 RGB.

        Raises:
            LvtuneError: CLIP is missing.
        """
        if isinstance(self.rule, Gate):
            return self.rule.look(base, self.adapters, pictures)
        if isinstance(self.rule, Auto):
            return [Choice(name, None, {}) for name in self.rule.choose(base, pictures, dict(self.said))]
        return [Choice(self.rule, None, {})] * len(pictures)

    @contextlib.contextmanager
    def under(self, base: Base, name: str | None) -> Iterator[Attachable | None]:
        """Makes this adapter the active one inside the block; None: the bare base."""
        if name is None or self.own:
            with use_adapter(base, name):
                yield None if name is None else self.adapters[name]
        else:
            with attach(base, self.adapters[name], name=name, active=False), use_adapter(base, name):
                yield self.adapters[name]


def is_several(adapter: Any) -> bool:
    """Returns True if a caller gave a list or a table of adapters."""
    return isinstance(adapter, Mapping | list | tuple)


def named(adapter: Any, base: Base) -> dict[str, Attachable]:
    """Returns adapters by name, loaded where a folder or a Hub id is given.

    In a list the name is the folder or Hub id; of an adapter object, its place.

    Raises:
        LvtuneError: one is given twice; what :func:`lvtune.load_adapter` raises.
    """
    given = adapter
    if not isinstance(given, Mapping):
        several = list(given) if is_several(given) else [given]
        given = {str(one) if isinstance(one, str | Path) else str(i): one for i, one in enumerate(several)}
        if len(given) < len(several):
            raise UsageError("an adapter given twice", "each once", "leave one out")
    return {str(name): _opened(one, base) for name, one in given.items()}


def _opened(adapter: Any, base: Base) -> Attachable:
    found: Any = open_adapter(adapter, base)
    if found is None:
        raise UsageError("None among several adapters", "adapters, folders or Hub ids", "leave it out")
    return found


def open_router(
    route: str | Auto | Gate | None, adapter: Any, base: Base, *, ranker: str | None = None, threshold: float = 0.0
) -> Router:
    """Makes the rule that chooses the adapter of each picture.

    Args:
        route: ``auto``, a :class:`lvtune.Gate` or a :class:`lvtune.Auto`, chosen by the whole picture; None:
            ``auto``, which is a gate where each adapter's file holds one and no ranker is named, else CLIP; else the
            name of one adapter for all.
        adapter: one or several, in a list or by name; None: those attached to the base.
        base: the base that they belong to.
        ranker: CLIP or SigLIP for ``auto``, a Hub id or a folder; None: the usual one, where a gate is lacking.
        threshold: see :class:`lvtune.Gate` and :class:`lvtune.Auto`.

    Raises:
        LvtuneError: no such adapter; an adapter whose sentences do not describe its pictures.
    """
    adapters = attached(base) if adapter is None else named(adapter, base)
    if route is not None and route != AUTO and not isinstance(route, Auto | Gate):
        if route not in adapters:
            known = ", ".join(adapters) or "none"
            raise UsageError(f"route '{route}'", f"auto, or an adapter given: {known}", "give --route auto")
        return Router(adapters, route, adapter is None, {})
    if not adapters:
        raise UsageError("a route without adapters", "one or more", "give --adapter, once for each")
    if isinstance(route, Gate) or (not isinstance(route, Auto) and ranker is None and has_gates(adapters.values())):
        gate = route if isinstance(route, Gate) else Gate(threshold)
        looks_of(adapters)
        return Router(adapters, gate, adapter is None, {})
    why = why_no_gate([name for name, one in adapters.items() if not has_gates([one])]) if ranker is None else ""
    auto = route if isinstance(route, Auto) else Auto(ranker or RANKER, threshold, why=why, hint="--ranker FOLDER")
    return Router(adapters, auto, adapter is None, auto.sentences_by_adapter(adapters))
