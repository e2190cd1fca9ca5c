"""Pictures under several adapters: which goes under which, and each adapter's in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.core.context import AUTO
from lvtune.core.errors import LvtuneError
from lvtune.data.images import read_image
from lvtune.hub.adapter_loading import open_adapter
from lvtune.language.ranking import RANKER
from lvtune.patcher.attaching import attach, attached, use_adapter
from lvtune.patcher.automatic import Auto

if TYPE_CHECKING:
    from torch import nn

    from lvtune.bases.base import Base

_AT_ONCE = 32  # pictures in memory


@dataclass(frozen=True)
class Routed:
    """The adapters at hand, and the one of each picture."""

    adapters: Mapping[str, nn.Module]
    names: Sequence[str | None]
    """One for each picture; None: the bare base."""
    own: bool
    """Whether they are attached already, and stay."""

    @contextlib.contextmanager
    def under(self, base: Base, name: str | None) -> Iterator[nn.Module | None]:
        """Calls inside the block go under this adapter."""
        if name is None or self.own:
            with use_adapter(base, name):
                yield self.adapters.get(name)
        else:
            with attach(base, self.adapters[name], name=name, active=False), use_adapter(base, name):
                yield self.adapters[name]

    def run(self, files: Sequence[Path], look: Callable[[str | None, list[Path]], Iterable[Sequence[Any]]]) -> list:
        """What ``look(name, its files)`` finds in each file, in the order of the files."""
        found = {
            name: iter(look(name, [file for file, own in zip(files, self.names, strict=True) if own == name]))
            for name in dict.fromkeys(self.names)
        }
        return [one for name in self.names for one in next(found[name])]


def is_several(adapter: Any) -> bool:
    """Whether a caller gave a list or a table of adapters."""
    return isinstance(adapter, Mapping | list | tuple)


def named(adapter: Any, base: Base) -> dict[str, nn.Module]:
    """Adapters by name, from wherever they are; of a list, a folder or Hub id is the name, an object's is its number.

    Raises:
        LvtuneError: one twice; what :func:`lvtune.load_adapter` raises.
    """
    given = adapter
    if not isinstance(given, Mapping):
        several = list(given) if is_several(given) else [given]
        given = {str(one) if isinstance(one, str | Path) else str(i): one for i, one in enumerate(several)}
        if len(given) < len(several):
            raise LvtuneError("an adapter given twice", "each once", "leave one out")
    return {name: open_adapter(one, base) for name, one in given.items()}


def route_pictures(
    route: str | Auto | None,
    adapter: Any,
    base: Base,
    files: Sequence[Path],
    *,
    ranker: str = RANKER,
    threshold: float = 0.0,
) -> Routed:
    """Which picture goes under which adapter.

    Args:
        route: ``auto`` or a :class:`lvtune.Auto`, by the looks of the whole picture; None: ``auto``; else the name of
            the adapter that all go under.
        adapter: one or several, in a list or by name; None: those attached to the base.
        base: what they are for.
        files: the pictures.
        ranker: CLIP or SigLIP for ``auto``, a Hub id or a folder.
        threshold: see :class:`lvtune.Auto`.

    Raises:
        LvtuneError: no such adapter; no CLIP at hand; an adapter whose sentences say nothing of its pictures.
    """
    adapters = attached(base) if adapter is None else named(adapter, base)
    if route is not None and route != AUTO and not isinstance(route, Auto):
        if route not in adapters:
            known = ", ".join(adapters) or "none"
            raise LvtuneError(f"route '{route}'", f"auto, or an adapter given: {known}", "give --route auto")
        return Routed(adapters, [route] * len(files), adapter is None)
    if not adapters:
        raise LvtuneError("a route without adapters", "one or more", "give --adapter, once for each")
    auto = route if isinstance(route, Auto) else Auto(ranker, threshold, hint="--ranker FOLDER")
    said = auto.said_by(adapters)
    names: list[str | None] = []
    for start in range(0, len(files), _AT_ONCE):
        names += auto.choose(base, [read_image(file) for file in files[start : start + _AT_ONCE]], said)
    return Routed(adapters, names, adapter is None)
