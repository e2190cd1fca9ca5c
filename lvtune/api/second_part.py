"""Labelled pictures first, pictures without labels second: the second part is kept only if it is shown to help.

The first part is the very run that the recipe would be without pictures that have no labels. A teacher is then as good
as the labels make it. The second part goes on from there, with both kinds of pictures. If the guard refuses it, the
result is that of the first part, to the bit: pictures without labels cost time then, and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.job import training_data
from lvtune.core.decision import Decision
from lvtune.training.loop import tune

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.config.options import TrainOptions
    from lvtune.training.history import History
    from lvtune.training.loop import Record

CHECKPOINT_2 = "checkpoint-2.safetensors"
"""Of the second part."""


def second_steps(job: Job, first: int) -> int:
    """Returns the number of steps of the second part, after ``first`` steps; 0: there is none."""
    return 0 if job.second is None else max(1, round(job.second.config.part * first))


def tune_second(
    job: Job, history: History, options: TrainOptions, folder: Path, key: str, *, record: Record | None = None
) -> None:
    """Goes on from the adapter as it is, and adds to the history what was done.

    Args:
        job: with ``second``, the objective of this part.
        history: of the first part.
        options: of the first part.
        folder: of the run, where the checkpoint lies.
        key: that identifies the run.
        record: see :func:`lvtune.training.loop.tune`.
    """
    steps, before = second_steps(job, len(history.steps)), len(history.steps)
    if not steps or job.second is None:
        return
    rate = (options.lr or 0.0) * job.second.config.rate
    later = replace(options, steps=steps, epochs=None, minutes=None, stop_after=None, lr=rate, gentle=False)
    shifted: Any = None if record is None else lambda step, figures: record(before + step, figures)
    more = tune(
        job.base, job.adapter, training_data(job), job.second, later, seed=job.recipe.seed, device=job.recipe.device,
        checkpoint=None if options.checkpoint_every == 0 else folder / CHECKPOINT_2, key=f"{key} second part",
        label="learning from pictures without labels", resume=job.recipe.resume is not False, record=shifted,
    )  # fmt: skip
    history.steps += [before + step for step in more.steps]
    history.loss += more.loss
    history.seconds += more.seconds
    history.notes += [note for note in more.notes if note not in history.notes]
    history.decisions.append(
        Decision("second part", f"{steps} steps with pictures without labels", f"after {before} steps on labelled ones")
    )


def first_minutes(job: Job, options: TrainOptions) -> TrainOptions:
    """Returns the options of the first part: with a time budget, what the second part leaves of it.

    A step with a teacher takes up to twice the time.
    """
    if options.minutes is None or job.second is None:
        return options
    return replace(options, minutes=options.minutes / (1 + 2 * job.second.config.part))
