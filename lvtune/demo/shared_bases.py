"""The bases of the page with the adapters that visitors may attach; one copy of each serves all visitors."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.core.errors import UsageError
from lvtune.hub.adapter_loading import load_adapter, load_base_for, made_for
from lvtune.hub.starts import FOLDER
from lvtune.patcher.attaching import attach, detach, use_adapter
from lvtune.training.engine import resolve_device

if TYPE_CHECKING:
    from lvtune.bases.base import Base

FIRST_BASE = "vitpose-ti"
"""The base of a page that is told nothing; it ships with the package."""


@dataclass(frozen=True)
class SharedBase:
    """A base with its adapters. All are attached, none is active: each call says which one acts."""

    title: str
    """As visitors read it."""
    view: Base
    adapters: dict[str, Any] = field(default_factory=dict)
    """Title to adapter."""

    def add(self, title: str, adapter: Any) -> None:
        """Attaches an adapter without making it the active one."""
        attach(self.view, adapter, _name(title), active=False)
        self.adapters[title] = adapter

    @contextlib.contextmanager
    def under(self, title: str | None) -> Iterator[None]:
        """Lets one adapter act inside the block, in this thread alone; None: the base alone."""
        with use_adapter(self.view, None if title is None else _name(title), category=None):
            yield

    def categories(self, title: str | None) -> tuple[str, ...]:
        """Returns the categories whose sentences an adapter can read; none if it reads no language."""
        bank = getattr(self.adapters.get(title or ""), "bank", None)
        return () if bank is None else tuple(bank.categories)

    def close(self) -> None:
        """Takes all adapters off; the base is then what it was."""
        detach(self.view)
        self.adapters.clear()


def open_bases(
    adapters: Sequence[str], bases: Sequence[str] = (), *, weights: str = "pretrained", device: str = "auto"
) -> dict[str, SharedBase]:
    """Loads the bases and adapters of a page.

    Args:
        adapters: folders or Hub ids. Each is attached to the base that it was made for, at its input size; one that
            does not say so, to the first of ``bases``. Without adapters and bases: what ships with the package.
        bases: names of bases to offer, whether an adapter needs them or not.
        weights: of all bases, see :func:`lvtune.load_base`.
        device: see :class:`lvtune.Recipe`.

    Returns:
        Title to base, in the order of the arguments; never empty.

    Raises:
        LvtuneError: no such base or adapter; an adapter that is damaged or given twice.
    """
    on = resolve_device(device)
    found: dict[str, SharedBase] = {}
    titles = titles_of(adapters)
    if not adapters and not bases:
        titles = {str(path): path.name for path in sorted(FOLDER.glob(f"{FIRST_BASE}-*")) if path.is_dir()}
    for given, title in titles.items():
        name = made_for(given)[0] or next(iter(bases), FIRST_BASE)
        shared = _kept(found, load_base_for(given, name, weights), on)
        shared.add(title, load_adapter(given, shared.view))
    for name in bases or ([] if found else [FIRST_BASE]):
        if all(shared.view.name != name for shared in found.values()):
            _kept(found, load_base_for(None, name, weights), on)
    return found


def titles_of(adapters: Sequence[str]) -> dict[str, str]:
    """Returns what each adapter is called on the page: the name of its folder where that is enough, else all of it.

    Raises:
        UsageError: an adapter is given twice.
    """
    twice = [given for given, count in Counter(adapters).items() if count > 1]
    if twice:
        raise UsageError(f"adapter {twice[0]}, given twice", "each adapter once", "leave one out")
    short = {given: Path(given).resolve().name if Path(given).exists() else given for given in adapters}
    seen = Counter(short.values())
    return {given: title if seen[title] == 1 else given for given, title in short.items()}


def _kept(found: dict[str, SharedBase], view: Base, device: Any) -> SharedBase:
    """Returns the base of this name and input size: the one that is there already, or the new one."""
    for shared in found.values():
        if (shared.view.name, shared.view.input_size) == (view.name, view.input_size):
            return shared
    height, width = view.input_size
    title = view.name if view.name not in _names(found) else f"{view.name}, crops of {width} x {height}"
    view.model.to(device)
    found[title] = SharedBase(title, view)
    return found[title]


def _names(found: Mapping[str, SharedBase]) -> set[str]:
    return {shared.view.name for shared in found.values()}


def _name(title: str) -> str:
    """The name under which an adapter is attached: no title is a word with a meaning, such as auto."""
    return f"demo: {title}"
