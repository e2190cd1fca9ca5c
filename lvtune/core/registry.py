"""Registers bases, methods, objectives, domains and text encoders under their names.

A registry is a decorator and a dict. Other packages add entries in two ways: by the decorator, when they are imported,
and by an entry point, which is imported when a name is looked up that is not known yet::

    [project.entry-points."lvtune.methods"]
    my-method = "my_package.my_method:MyMethod"

The value names the entry itself, or a module that registers the name when it is imported.
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Generic, TypeVar

from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.version import __version__

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
_log = logging.getLogger(__name__)
_LONGEST = 100
"""Names longer than this get no suggestion: the comparison takes long, and nobody typed them."""


class Registry(Generic[T]):
    """Maps names to entries of one kind.

    Args:
        kind: the word that errors use ("base", "method", ...).
        listing: the command that shows the names.
        group: the group of entry points that other packages use; "" for none.
        prepare: is called with the name and the entry before the entry is stored.
    """

    def __init__(
        self,
        kind: str,
        listing: str = "",
        *,
        group: str = "",
        prepare: Callable[[str, T], object] | None = None,
    ) -> None:
        self.kind = kind
        self.listing = listing or f"lvtune list {kind}s"
        self.group = group
        self._prepare = prepare
        self._entries: dict[str, T] = {}
        self._unlisted: set[str] = set()
        self._waiting: list[EntryPoint] | None = None if group else []
        self._broken: dict[str, UsageError] = {}
        self._lock = threading.RLock()

    def register(self, name: str, *, listed: bool = True) -> Callable[[T], T]:
        """Returns a decorator that registers an entry under ``name``.

        Args:
            name: to get it by.
            listed: False keeps it out of :meth:`names`: it is made in another way than by its name.

        Raises:
            UsageError: the name is taken.
        """

        def add(entry: T) -> T:
            if name in self._entries:
                raise UsageError(
                    f"a second {self.kind} named '{name}'", "a name not yet registered", "choose another name"
                )
            if self._prepare is not None:
                self._prepare(name, entry)
            self._entries[name] = entry
            if not listed:
                self._unlisted.add(name)
            return entry

        return add

    def get(self, name: str) -> T:
        """Returns the entry under ``name``.

        Raises:
            UsageError: no entry has this name (the error suggests the closest one), or the package that offers it
                fails to load.
        """
        if name not in self._entries:
            self._load(name)
        if name in self._entries:
            return self._entries[name]
        if name in self._broken:
            raise self._broken[name]
        raise UsageError(
            f"unknown {self.kind} '{name}'",
            f"one of {', '.join(self.names())}",
            suggest(name, self.names(), f"`{self.listing}` shows them"),
        )

    def names(self) -> list[str]:
        """Returns all names in the order of registration: first lvtune's own, then those of other packages.

        A package that fails to load is left out, and one line on the log says so.
        """
        self._load()
        return [name for name in self._entries if name not in self._unlisted]

    def __contains__(self, name: object) -> bool:
        """Returns True for a package's name that fails to load too: :meth:`get` then says why it fails."""
        if name not in self._entries:
            self._load(name)
        return name in self._entries or name in self._broken

    def _load(self, name: object = None) -> None:
        """Loads the entry points called ``name``; if there is none, loads all of the group."""
        with self._lock:
            if self._waiting is None:
                from importlib.metadata import entry_points

                self._waiting = sorted(entry_points(group=self.group), key=lambda point: point.name)
            wanted = [point for point in self._waiting if point.name == name] or list(self._waiting)
            for point in wanted:
                # an entry point that looks names up while it loads has taken those before it off the list
                if point in self._waiting:
                    self._waiting.remove(point)
                    self._load_point(point)

    def _load_point(self, point: EntryPoint) -> None:
        before = set(self._entries)
        try:
            entry = point.load()
            if isinstance(entry, ModuleType):
                if point.name not in self._entries:
                    given = f"{point.value} registers no {self.kind} of this name"
                    raise UsageError(given, "a module that registers the name", "name the entry itself")
            elif not any(entry is known for known in self._entries.values()):
                self.register(point.name)(entry)
        except (Exception, SystemExit) as error:
            # what a module registered before it failed is unfinished
            for name in set(self._entries) - before:
                del self._entries[name]
            self._broken[point.name] = self._explain(point, error)
            _log.warning("left out: %s", self._broken[point.name])

    def _explain(self, point: EntryPoint, error: BaseException) -> UsageError:
        package = point.dist.name if point.dist else "unknown"
        reason = error.given if isinstance(error, LvtuneError) else f"{type(error).__name__}: {error}".rstrip(": ")
        return UsageError(
            f"{self.kind} '{point.name}' of the package {package} fails to load ({reason}); its entry point is "
            f"'{point.name} = {point.value}' in the group {self.group}",
            f"a plug-in that works with lvtune {__version__}",
            f"type `pip install -U {package}` to update it, or `pip uninstall {package}` to remove it",
        )


def suggest(name: str, known: list[str], otherwise: str) -> str:
    """Returns "did you mean ..." with the closest known name, in whatever case, or ``otherwise`` if none is close."""
    by_lower = {other.lower(): other for other in known}
    typed = str(name).lower()
    if len(typed) > _LONGEST:
        return otherwise
    close = difflib.get_close_matches(typed, by_lower, n=3, cutoff=0.5)
    # two letters swapped come before anything else: "lroa" is "lora", not "road"
    close.sort(key=lambda other: sorted(other) != sorted(typed))
    return f"did you mean '{by_lower[close[0]]}'?" if close else otherwise
