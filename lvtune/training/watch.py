"""What a person sees while a run goes on: is anything being learned, and how long will it take?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Parts of the run after which the held-out frames are looked at."""
EMPTY_STEPS = 5
"""Steps over which the loss of an empty answer is averaged."""


@dataclass
class Watch:
    """Looks at held-out frames now and then; it decides nothing and draws nothing at random.

    Args:
        error: gives (mean, median) error in pixels of the picture, with the adapter on.
        draw: draws the frames after a step, and returns what is to be said of that; None: no pictures.
    """

    error: Callable[[], tuple[float, float]]
    draw: Callable[[int], str] | None = None
    steps: list[int] = field(default_factory=list)
    px_mean: list[float] = field(default_factory=list)

    def is_due(self, step: int, total: int) -> bool:
        """Returns True after the steps at which it looks."""
        return step in {round(share * total) for share in SHARES} - {0}

    def look(self, step: int) -> str:
        """Measures, and returns what is to be said."""
        with torch.random.fork_rng(devices=[]):  # a DataLoader draws a seed
            mean, median = self.error()
            drawn = "" if self.draw is None else self.draw(step)
        self.steps.append(step)
        self.px_mean.append(mean)
        said = f"held-out frames: {mean:.1f} px mean error, {median:.1f} px median"
        return f"{said}; {drawn}" if drawn else said


class EmptyLoss:
    """Mean loss of an empty answer (all heatmaps zero) over the first steps: a run that learns falls below it."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    @property
    def is_full(self) -> bool:
        """Returns True once enough steps were seen."""
        return self._count >= EMPTY_STEPS

    def add(self, loss: float | None) -> None:
        """Adds the empty answer's loss of one batch; None: the objective has no such loss."""
        if loss is None:
            self._count = EMPTY_STEPS
        else:
            self._sum, self._count = self._sum + loss, self._count + 1

    @property
    def mean(self) -> float | None:
        """The mean; None where there is none."""
        return self._sum / self._count if self._sum else None
