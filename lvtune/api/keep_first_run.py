"""The first of the two runs of ``--keep``: it leaves some pictures out, which then show what may be kept of the change.

Pictures that were tuned on cannot show it, and the adapter is worse without them: on demo-art, 64 of 430 pictures less
cost the target about half a point. So a first run is tuned without them; on them it is decided what is kept of its
change. Then everything is put back, and the adapter is tuned on all pictures: without replay that is the very run that
it would be without ``--keep``. The same is kept of that change.
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
    from lvtune.training.history import History

CHECKPOINT_FIRST = "checkpoint-first.safetensors"
"""Of the first run; it stays until all is written, so that a run that goes on need not tune it again."""


def part_of_minutes(job: Job, options: TrainOptions) -> TrainOptions:
    """Returns the options of each of the two runs: with a time budget, half of it; where there is one run, its own."""
    if job.kept_out.first is None or options.minutes is None:
        return options
    return replace(options, minutes=options.minutes / 2)


@contextlib.contextmanager
def first_run(job: Job, options: TrainOptions, folder: Path, key: str) -> Iterator[History]:
    """Inside, the adapter is tuned on the pictures that are not kept out; afterwards all is as it was.

    Args:
        job: with ``kept_out.first``.
        options: of the second run.
        folder: of the run, where the checkpoint lies.
        key: that identifies the run.
    """
    adapter, first, objective = job.adapter, job.kept_out.first, job.objective
    assert first is not None
    start, trained = snapshot(adapter), getattr(objective, "trained", None)
    beside = None if trained is None else snapshot(trained)
    data = augmented(job.recipe, job.base, first)
    if options.epochs and options.steps is None:  # as many steps as the second run
        options = replace(options, epochs=round(options.epochs * len(job.train.table) / len(first.table), 2))
    try:
        yield tune(
            job.base, adapter, data, objective, options, seed=job.recipe.seed, device=job.recipe.device,
            checkpoint=None if options.checkpoint_every == 0 else folder / CHECKPOINT_FIRST, key=f"{key} first run",
            label="first run, without the pictures kept out", resume=job.recipe.resume is not False,
        )  # fmt: skip
    finally:
        adapter.load_state_dict(start)
        if trained is not None:
            trained.load_state_dict(beside)
