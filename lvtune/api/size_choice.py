"""Chooses the input size and the number of steps of own data together, where a time budget is given."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from accelerate.utils import broadcast_object_list

from lvtune.adapters.factory import create_adapter
from lvtune.core.decision import Decision
from lvtune.data.augment import Augment
from lvtune.evaluation.inference import split_dataset
from lvtune.training.engine import make_accelerator
from lvtune.training.objectives import OBJECTIVES
from lvtune.training.size_budget import Size, fit_size, relative_cost, smaller_sizes
from lvtune.training.step_time import seconds_per_step

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.domains import Split
    from lvtune.language.bank import SentenceBank

StepTimer = Callable[..., float]
"""(base at its present input size, pictures to tune on, batch size, precision=) to seconds of one training step."""


def step_timer(recipe: Recipe, domain: str, bank: SentenceBank | None) -> StepTimer:
    """Returns a function that times a step of the recipe's method, with an adapter of its own that is thrown away.

    Args:
        recipe: names method, options, seed and device.
        domain: name of the domain.
        bank: embedded sentences, where the method reads any.
    """

    def timed(base: Base, train: Split, batch_size: int, precision: str = "auto") -> float:
        options = {"domain": domain, "skeleton": train.table.skeleton, "bank": bank, "seed": recipe.seed}
        adapter: Any = create_adapter(recipe.method, base, **options, **recipe.method_options)
        adapter.to(base.device)
        data = split_dataset(base, train, augment=Augment(), seed=recipe.seed, cache=True)
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        share = max(1, batch_size // processes)
        loss_of = OBJECTIVES.get(base.objective)()
        seconds = seconds_per_step(base, adapter, data, loss_of, share, make_accelerator(recipe.device, precision))
        if processes > 1:  # all processes must choose the same size
            seconds = broadcast_object_list([seconds])[0]
        return seconds

    return timed


def size_within(
    wanted: tuple[Size, Decision], base: Base, train: Split, timer: StepTimer,
    *, seconds: float, usual: int, batch_size: int, is_free: bool,
) -> tuple[Size, list[Decision]]:  # fmt: skip
    """Chooses the input size with which enough steps fit a time budget.

    One step is timed at the smallest size, and the time at the others follows from the number of tokens. The base is
    left at the size that was timed.

    Args:
        wanted: the input size without a budget, and its reason.
        base: with its own input size, or the one that was asked for.
        train: the pictures to tune on.
        timer: see :func:`step_timer`.
        seconds: for all steps.
        usual: number of steps without a budget.
        batch_size: pictures a step.
        is_free: False if the user set the input size.

    Returns:
        The size, and the lines on size and steps.
    """
    step, (size, line) = base.size_step, wanted
    sizes = smaller_sizes(size, base.input_size, step) if is_free else [size]
    base.set_input_size(sizes[-1])
    measured = timer(base, train, batch_size)
    unit = measured / relative_cost(sizes[-1], step or 16, base.width)
    seconds_of = lambda tried: unit * relative_cost(tried, step or 16, base.width)  # noqa: E731
    plan = fit_size(sizes, seconds_of, seconds, usual)
    if plan.skipped is not None:
        why = f"{_show(plan.skipped)} would get about {plan.skipped_steps} of the usual {usual} steps in this time"
        line = Decision("input size", _show(plan.size), f"{why}; {line.why}")
    where = f"measured at {_show(sizes[-1])}"
    where += "" if plan.size == sizes[-1] else ", the rest from the number of tokens"
    why = f"{seconds / 60:.2g} minutes of tuning, {seconds_of(plan.size):.2g} s a step, {where}; {usual} are usual"
    return plan.size, [line, Decision("steps", f"about {plan.steps} of {batch_size} pictures", why)]


def _show(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
