"""The lines on what a run is tuned on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvtune.core.text import counted

if TYPE_CHECKING:
    from lvtune.api.job import Job


def tuned_on(job: Job, pictures: int) -> list[str]:
    """Returns the lines: the pictures with labels, and those without.

    Args:
        job: prepared.
        pictures: how many with labels there are.
    """
    recipe, pool = job.recipe, job.unlabelled
    labelled = f"tuning {recipe.method} on {counted(pictures, 'picture')}: {job.train.name}"
    if pool is None:
        return [labelled]
    without = f"{counted(len(pool.table), 'instance')} without labels: {pool.name}"
    if recipe.data.shots == 0:  # then there are no others
        return [f"tuning {recipe.method} on {without}"]
    return [labelled, f"and on {without}"]
