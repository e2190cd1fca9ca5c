"""A decorator and a dict: how bases, methods, domains and text encoders become known by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Generic, TypeVar

from lvtune.core.errors import LvtuneError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to entries of one kind.

    Args:
        kind: the word used in errors ("base", "method", ...).
        listing: what to type to see the names.
    """

    def __init__(self, kind: str, listing: str = "") -> None:
        self.kind = kind
        self.listing = listing or f"lvtune list {kind}s"
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files an entry under ``name``; third-party packages may use it too.

        Raises:
            LvtuneError: the name is taken.
        """

        def add(entry: T) -> T:
            if name in self._entries:
                raise LvtuneError(
                    f"a second {self.kind} named '{name}'", "a name not yet registered", "choose another name"
                )
            self._entries[name] = entry
            return entry

        return add

    def get(self, name: str) -> T:
        """The entry under ``name``.

        Raises:
            LvtuneError: no such name; the closest one is suggested.
        """
        if name in self._entries:
            return self._entries[name]
        raise LvtuneError(
            f"unknown {self.kind} '{name}'",
            f"one of {', '.join(self.names())}",
            suggest(name, self.names(), f"`{self.listing}` shows them"),
        )

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries


def suggest(name: str, known: list[str], otherwise: str) -> str:
    """ "did you mean ..." for the closest known name in whatever case, else ``otherwise``."""
    by_lower = {other.lower(): other for other in known}
    typed = str(name).lower()
    close = difflib.get_close_matches(typed, by_lower, n=3, cutoff=0.5)
    # two letters swapped come before anything else: "lroa" is "lora", not "road"
    close.sort(key=lambda other: sorted(other) != sorted(typed))
    return f"did you mean '{by_lower[close[0]]}'?" if close else otherwise
