"""A number of steps that fits a time budget, from the time that the first ones took."""

from __future__ import annotations

import time

WARM, TIMED = 2, 5
"""Steps that are passed over (caches, allocation), and the steps that are timed behind them."""
RESERVE = 0.95
"""Share of the budget that is planned for; the rest is for steps that take longer."""


class Budget:
    """Counts the steps that fit into so many seconds. Usage: ``take(step)`` after each step.

    Args:
        seconds: for all steps, those that are timed included.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._begun = self._warm = time.perf_counter()

    def begin(self) -> None:
        """Called before the first step."""
        self._begun = self._warm = time.perf_counter()

    def take(self, step: int) -> int | None:
        """Returns the number of steps that fit, once ``step`` steps tell; None before and after that.

        A single step that takes the whole budget ends the run.
        """
        now = time.perf_counter()
        if step == WARM:
            self._warm = now
        is_over = step <= WARM + TIMED and now - self._begun >= self.seconds
        if step != WARM + TIMED and not is_over:
            return None
        if is_over:
            return step
        left = RESERVE * self.seconds - (now - self._begun)
        return step + max(0, int(left * TIMED / max(now - self._warm, 1e-9)))
