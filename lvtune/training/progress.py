"""A progress bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time


class ProgressBar:
    """Progress of ``total`` steps.

    Args:
        total: number of steps.
        label: what is being done.
        shown: False silences it (processes other than the first).
    """

    def __init__(self, total: int, label: str, shown: bool = True) -> None:
        self.total, self.label, self.shown = total, label, shown
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
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
            if self._mean is not None:
                self._bar.set_postfix(loss=f"{self._mean:.3e}", refresh=False)
        elif time.monotonic() >= self._next or step == self.total:
            self._next = time.monotonic() + 10
            loss_text = "" if self._mean is None else f" loss {self._mean:.3e}"
            seconds = time.monotonic() - self._started
            print(f"{self.label}: step {step}/{self.total}{loss_text} ({seconds:.0f} s)", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Prints a line beside the bar."""
        if not self.shown:
            return
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(f"{self.label}: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.close()
