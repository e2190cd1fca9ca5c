"""The first runs of ``--keep``: each leaves some pictures out, which then show what may be kept of the change.

Pictures that were tuned on cannot show it, and the adapter is worse without them: on demo-art, 64 of 430 pictures less
cost the target about half a point. So two first runs are tuned, each on half of the pictures, with as many epochs as
the last run has: together they take its time, and each picture is left out once (cross-fitting). On what was left out
it is decided what is kept of the change. Then everything is put back, and the adapter is tuned on all pictures: that is
the very run that it would be without ``--keep``. The same is kept of that change. Where pictures of the source are
replayed there is one first run, for its replay must not show what it is checked on.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from lvtune.api.replay_samples import augmented
from lvtune.core.snapshot import snapshot
from lvtune.training.loop import tune

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lvtune.api.job import Job
    from lvtune.config.options import TrainOptions
    from lvtune.domains import Split
    from lvtune.training.history import History

CHECKPOINTS_FIRST = ("checkpoint-first-1.safetensors", "checkpoint-first-2.safetensors")
"""Of the first runs; they stay until all is written, so that a run that goes on need not tune them again."""


def part_of_minutes(job: Job, options: TrainOptions) -> TrainOptions:
    """Returns the options of the last run: with a time budget, half of it; where there is one run, all of it."""
    if not job.kept_out.first_runs or options.minutes is None:
        return options
    return replace(options, minutes=options.minutes / 2)


def shorter(options: TrainOptions, share: float, runs: int) -> TrainOptions:
    """Returns the options of one of the first runs: as many epochs, which are fewer steps on fewer pictures.

    Args:
        options: of the last run.
        share: of the pictures that the first run is tuned on.
        runs: number of first runs, which divide a time budget as long as that of the last run.
    """
    if options.minutes is not None:
        return replace(options, minutes=options.minutes / runs)
    if options.steps is not None:
        return replace(options, steps=max(1, round(share * options.steps)))
    return replace(options, min_steps=options.min_steps and max(1, round(share * options.min_steps)))


@contextlib.contextmanager
def first_run(job: Job, number: int, options: TrainOptions, folder: Path, key: str) -> Iterator[History]:
    """Inside, the adapter is tuned on the pictures that are not kept out; afterwards all is as it was.

    Args:
        job: with ``kept_out.first_runs``.
        number: which of them.
        options: of the last run.
        folder: of the run, where the checkpoint lies.
        key: that identifies the run.
    """
    adapter, objective, runs = job.adapter, job.objective, job.kept_out.first_runs
    start, trained = snapshot(adapter), getattr(objective, "trained", None)
    beside = None if trained is None else snapshot(trained)
    train = runs[number].train
    options = shorter(options, samples_of(train) / samples_of(job.train), len(runs))
    which = "" if len(runs) == 1 else f" {number + 1} of {len(runs)}"
    try:
        yield tune(
            job.base, adapter, augmented(job.recipe, job.base, train), objective, options, seed=job.recipe.seed,
            device=job.recipe.device, key=f"{key} first run{which}",
            checkpoint=None if options.checkpoint_every == 0 else folder / CHECKPOINTS_FIRST[number],
            label=f"first run{which}, without the pictures kept out", resume=job.recipe.resume is not False,
        )  # fmt: skip
    finally:
        adapter.load_state_dict(start)
        if trained is not None:
            trained.load_state_dict(beside)


def samples_of(split: Split) -> int:
    """Returns the number of samples of a split."""
    return len(split.table) * len(split.views or " ") if split.items is None else len(split.items)
