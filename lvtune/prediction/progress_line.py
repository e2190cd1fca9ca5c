"""Says on stderr how far a run is and how long the rest takes: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from lvtune.core.work_progress import is_quiet

_EVERY = 10.0
"""Seconds between two lines."""


class ProgressLine:
    """Progress over frames.

    Args:
        total: frames of the source; None: nobody knows.
        start: frames that an earlier run has done.
        shown: False silences it.
    """

    def __init__(self, total: int | None, start: int = 0, shown: bool = True) -> None:
        self._total, self._start, self._done, self._shown = total, start, start, shown and not is_quiet()
        self._began = self._said = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> ProgressLine:
        if self._shown and sys.stderr.isatty():
            from tqdm import tqdm

            start = {"initial": self._start, "total": self._total}
            self._bar = tqdm(**start, unit="picture", file=sys.stderr, dynamic_ncols=True)
        return self

    def update(self, count: int) -> None:
        """Says that ``count`` more frames are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._shown and time.monotonic() - self._said >= _EVERY:
            self._said = time.monotonic()
            print(self.line(time.monotonic() - self._began), file=sys.stderr, flush=True)

    def line(self, seconds: float) -> str:
        """Returns the line after some seconds: done, speed, and what is left at that speed."""
        speed = (self._done - self._start) / max(seconds, 1e-9)
        of = "" if self._total is None else f" of {self._total}"
        left = "" if self._total is None else f", {max(0, self._total - self._done) / max(speed, 1e-9):.0f} s left"
        return f"predicting: {self._done}{of} pictures, {speed:.1f} a second{left}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if kind is not None and self._shown:
            print(f"stopped after {self._done} pictures", file=sys.stderr, flush=True)
