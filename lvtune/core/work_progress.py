"""Says on stderr how far a long piece of work is: a bar on a terminal, a plain line now and then elsewhere.

Nothing is said of work that takes less than :data:`AFTER` seconds, in processes other than the first, inside other work
whose progress is shown, and inside :func:`quiet`.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from lvtune.core.processes import is_main

T = TypeVar("T")

AFTER = 2.0
"""Seconds after which progress is shown."""
EVERY = 10.0
"""Seconds between two plain lines."""

_quiet: ContextVar[bool] = ContextVar("lvtune_quiet", default=False)
_inside: ContextVar[bool] = ContextVar("lvtune_progress", default=False)


def is_quiet() -> bool:
    """Returns True inside :func:`quiet`."""
    return _quiet.get()


@contextlib.contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Inside, no progress is shown; answers, warnings and errors are."""
    token = _quiet.set(wanted or _quiet.get())
    try:
        yield
    finally:
        _quiet.reset(token)


class Progress:
    """Progress of one piece of work; made by :func:`progress`.

    Args:
        label: what is being done, such as "scoring".
        total: number of things to do; None: unknown.
        unit: name of these things in the plural, such as "pictures".
        shown: False silences it.
    """

    def __init__(self, label: str, total: int | None, unit: str, shown: bool) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self._shown, self._began, self._bar = shown, time.monotonic(), None
        self._next = self._began + AFTER

    def update(self, count: int = 1) -> None:
        """Reports that ``count`` more things are done."""
        self.done += count
        now = time.monotonic()
        if not self._shown or (self._bar is None and now < self._next):
            return
        if sys.stderr.isatty():
            self._draw()
        elif self.total is None or self.done < self.total:
            self._next = now + EVERY
            print(self.line(now - self._began), file=sys.stderr, flush=True)

    def _draw(self) -> None:
        if self._bar is None:
            from tqdm import tqdm

            words: dict[str, Any] = {"desc": self.label, "unit": f" {self.unit}"}
            bar: Any = tqdm(total=self.total, file=sys.stderr, dynamic_ncols=True, leave=False, **words)
            bar.start_t -= time.monotonic() - self._began  # the estimate counts from the beginning of the work
            self._bar = bar
        self._bar.update(self.done - self._bar.n)

    def line(self, seconds: float) -> str:
        """Returns the plain line after some seconds of work."""
        if not self.total or not self.done:
            return f"{self.label}: {self.done} {self.unit} ({seconds:.0f} s)"
        left = seconds / self.done * (self.total - self.done)
        return f"{self.label}: {self.done}/{self.total} {self.unit} ({seconds:.0f} s, {left:.0f} s left)"

    def close(self) -> None:
        """Takes the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def progress(label: str, total: int | None = None, unit: str = "pictures") -> Iterator[Progress]:
    """Shows the progress of the block, which calls ``update`` on what it gets; see :class:`Progress`."""
    one = Progress(label, total, unit, shown=is_main() and not _quiet.get() and not _inside.get())
    token = _inside.set(True)
    try:
        yield one
    finally:
        _inside.reset(token)
        one.close()


def tracked(items: Iterable[T], label: str, total: int | None = None, unit: str = "pictures") -> Iterator[T]:
    """Yields ``items`` and shows how many are done."""
    with progress(label, total, unit) as shown:
        for item in items:
            yield item
            shown.update()
