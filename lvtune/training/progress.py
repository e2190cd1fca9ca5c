"""A progress bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from lvtune.core.work_progress import is_quiet


class ProgressBar:
    """Progress of ``total`` steps.

    Args:
        total: number of steps.
        label: what is being done.
        shown: False silences it (processes other than the first). `--quiet` does so too.
    """

    def __init__(self, total: int, label: str, shown: bool = True) -> None:
        shown = shown and not is_quiet()
        self.total, self.label, self.shown = total, label, shown
        self.empty: float | None = None
        """Loss of an empty answer, shown beside the loss."""
        self.is_planned = True
        """False while the number of steps is not known yet: the first ones are being timed."""
        self.active: float | None = None
        """Share of a contrast's negatives that count, shown beside the loss."""
        self._first: int | None = None
        self._bar, self._started, self._next, self._mean = None, time.monotonic(), 0.0, None
        if shown and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=label, unit="step", file=sys.stderr, dynamic_ncols=True)

    def update(self, step: int, loss: float | None) -> None:
        """Reports that step ``step`` is done, with this loss."""
        if not self.shown:
            return
        if loss is not None:
            self._mean = loss if self._mean is None else 0.95 * self._mean + 0.05 * loss
            self._first = step - 1 if self._first is None else self._first
        beside = {} if self.empty is None else {"empty": f"{self.empty:.3e}"}
        beside |= {} if self.active is None else {"active negatives": f"{self.active:.0%}"}
        if self._bar is not None:
            self._bar.total, self._bar.desc = self.total if self.is_planned else None, self.label
            self._bar.update(step - self._bar.n)
            if self._mean is not None:
                self._bar.set_postfix({"loss": f"{self._mean:.3e}", **beside}, refresh=False)
        elif time.monotonic() >= self._next or step == self.total:
            self._next = time.monotonic() + 10
            loss_text = "" if self._mean is None else f" loss {self._mean:.3e}"
            loss_text += f", an empty answer has {self.empty:.3e}" if self.empty is not None else ""
            loss_text += f", {self.active:.0%} of the negatives active" if self.active is not None else ""
            seconds = time.monotonic() - self._started
            is_known = self._first is not None and self.is_planned
            left = f", {self._left(step, seconds):.0f} s left" if is_known else ""
            of = f"/{self.total}" if self.is_planned else " of as many as fit"
            line = f"{self.label}: step {step}{of}{loss_text} ({seconds:.0f} s{left})"
            print(line, file=sys.stderr, flush=True)

    def _left(self, step: int, seconds: float) -> float:
        """Seconds that the other steps take if they are as quick as those so far."""
        return seconds / max(1, step - (self._first or 0)) * (self.total - step)

    def note(self, text: str) -> None:
        """Prints a line beside the bar."""
        if not self.shown:
            return
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(f"{self.label}: {text}", file=sys.stderr, flush=True)

    def notes(self, texts: Sequence[str]) -> None:
        """Prints lines beside the bar."""
        for text in texts:
            self.note(text)

    def close(self) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.close()
