"""Chooses the input size together with the number of steps that fit a time budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lvtune.training.budget import RESERVE

Size = tuple[int, int]
"""(height, width) in pixels."""

ENOUGH = 0.5
"""Share of the usual steps that a size must get; with fewer the next smaller size is taken."""


@dataclass(frozen=True)
class SizePlan:
    """An input size, and the steps that fit the budget at it."""

    size: Size
    steps: int
    """About so many; the first steps of the run are timed and say it exactly."""
    skipped: Size | None = None
    """The size that was wanted, where it gets too few steps."""
    skipped_steps: int = 0
    """About so many steps would fit at the size that was wanted."""


def smaller_sizes(wanted: Size, least: Size, step: int) -> list[Size]:
    """Returns sizes from the wanted one down to about as many pixels as ``least``, in the aspect of the wanted one.

    Args:
        wanted: the largest.
        least: no smaller number of pixels than this size has, unless the wanted one itself is smaller.
        step: both sides are multiples of it; 0: the wanted size alone.
    """
    sizes = [wanted]
    long, short = max(wanted), min(wanted)
    for side in range(long - step, step, -step) if step else ():
        other = max(2, round(side * short / long / step)) * step
        size = (side, other) if wanted[0] >= wanted[1] else (other, side)
        if size[0] * size[1] < least[0] * least[1]:
            break
        sizes.append(size)
    return sizes


def relative_cost(size: Size, patch: int, width: int) -> float:
    """Returns the cost of a step at an input size, in a unit of its own.

    A ViT block of width D takes 12 N D² multiplications for its matrices and 2 N² D for its attention, N being the
    number of tokens; the head's cost grows with N.

    Args:
        size: of the pictures.
        patch: pixels along a side of a token.
        width: D.
    """
    tokens = size[0] * size[1] / patch**2
    return tokens * (1 + tokens / (6 * width))


def fit_size(sizes: Sequence[Size], seconds_of: Callable[[Size], float], budget: float, usual: int) -> SizePlan:
    """Chooses the largest size that gets at least ``ENOUGH`` of the usual steps; else the smallest.

    Args:
        sizes: the wanted size first, then smaller ones.
        seconds_of: seconds that one step takes at a size.
        budget: seconds for all steps.
        usual: number of steps without a budget.
    """
    fitting = [int(RESERVE * budget / max(seconds_of(size), 1e-9)) for size in sizes]
    place = next((i for i, count in enumerate(fitting) if count >= ENOUGH * usual), len(sizes) - 1)
    if place == 0:
        return SizePlan(sizes[0], fitting[0])
    return SizePlan(sizes[place], fitting[place], sizes[0], fitting[0])
