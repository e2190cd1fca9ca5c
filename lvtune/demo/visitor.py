"""What one visitor of the page has chosen: it is kept for him alone, and is never seen by another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.demo.shared_bases import SharedBase


@dataclass(frozen=True)
class Visitor:
    """The choice of one visitor. It is never changed in place."""

    base: str
    """Title of the base."""
    adapter: str | None = None
    """Title of the adapter that he has attached; None: none."""
    is_on: bool = True
    """False: it is attached, but the base answers alone."""

    @property
    def acting(self) -> str | None:
        """Title of the adapter that acts; None: the base alone."""
        return self.adapter if self.is_on else None

    def with_base(self, title: str, bases: Mapping[str, SharedBase]) -> Visitor:
        """Returns the choice with another base; what was attached to the one before is detached."""
        _check("base", title, bases)
        return self if title == self.base else Visitor(title)

    def attach(self, title: str | None, bases: Mapping[str, SharedBase]) -> Visitor:
        """Returns the choice with an adapter, switched on, in place of the one before.

        Raises:
            UsageError: there is none of this title on this base.
        """
        offered = bases[self.base].adapters
        if not title:
            fix = "choose one" if offered else "start the page with one: lvtune demo FOLDER"
            raise UsageError("no adapter chosen", f"one of {', '.join(offered) or 'none'}", fix)
        _check("adapter", title, offered)
        return replace(self, adapter=title, is_on=True)

    def detach(self) -> Visitor:
        """Returns the choice without an adapter."""
        return replace(self, adapter=None, is_on=True)

    def switch(self, is_on: bool) -> Visitor:
        """Returns the choice with the adapter on or off; it stays attached."""
        return replace(self, is_on=is_on)

    def line(self) -> str:
        """Says in one line who answers."""
        if self.adapter is None:
            return f"No adapter is attached: {self.base} answers alone."
        if not self.is_on:
            return f"{self.adapter} is attached but off: {self.base} answers alone."
        return f"{self.adapter} is attached to {self.base} and on."


def _check(what: str, title: str, known: Mapping[str, object]) -> None:
    if title not in known:
        raise UsageError(f"{what} '{title}'", f"one of {', '.join(known) or 'none'}",
                         suggest(title, list(known), "choose one from the list"))  # fmt: skip
