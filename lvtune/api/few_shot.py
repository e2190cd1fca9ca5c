"""What is done differently where there are only a few pictures to tune on."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from lvtune.api.job import training_data
from lvtune.core.decision import Decision
from lvtune.core.snapshot import snapshot
from lvtune.core.text import counted
from lvtune.domains.few_pictures import TINY, count_pictures, pictures_of_samples
from lvtune.evaluation.inference import split_dataset
from lvtune.training.guard import COST, LEAST_PICTURES, SHARES, GuardResult, choose_share, keep_share
from lvtune.training.objectives import OBJECTIVES
from lvtune.training.point_error import MEASURE, point_error

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.config.options import TrainOptions


ALL_OR_NOTHING = (0.0, 1.0)
"""Shares of the change that may be kept with a new predictor."""


class FewShotGuard:
    """Counts the pictures of a job and, where they are few, checks that tuning on them helps.

    Usage: ``check()`` before the tuning, ``keep()`` after it.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.pictures = job, count_pictures(job.train)
        self.guarded: GuardResult | None = None
        self._start: dict[str, Any] = {}

    @property
    def warnings(self) -> list[str]:
        """What is to be said before the tuning."""
        if self.pictures > TINY or not self.job.recipe.has_target_labels:
            return []
        return [
            f"only {self.pictures} annotated pictures to tune on: another random choice of pictures may score quite "
            "differently"
        ]

    @property
    def notes(self) -> list[str]:
        """What is to be said of it in the report."""
        return [*self.warnings, *([self.guarded.note()] if self.guarded else [])]

    @property
    def is_guarded(self) -> bool:
        """Whether the tuning is checked; the source's pictures, or none with labels, say nothing."""
        most = self.job.recipe.train.guard or 0
        return LEAST_PICTURES <= self.pictures <= most and self.job.recipe.has_target_labels

    def check(self) -> None:
        """Finds out how much of the change is worth keeping."""
        if not self.is_guarded:
            return
        job, recipe = self.job, self.job.recipe
        self._start = snapshot(job.adapter)
        names = pictures_of_samples(job.train)
        plain = split_dataset(job.base, job.train, cache=True)
        is_new = bool(job.new_keypoints) and job.train.task == "pose2d"
        judge: Any = point_error if is_new else OBJECTIVES.get(job.base.objective)()
        self.guarded = choose_share(
            job.base, job.adapter, training_data(job), job.objective, job.options, plain=plain,
            judge=judge, measure=MEASURE if is_new else "loss", pictures=names,
            kinds=[plain[i]["category"] for i in range(len(names))], seed=recipe.seed, device=recipe.device,
            shares=ALL_OR_NOTHING if is_new else SHARES, beyond_chance=not is_new,
        )  # fmt: skip

    @property
    def options(self) -> TrainOptions:
        """How to tune on all pictures: with a time budget, what the check leaves of it."""
        options = self.job.options
        if self.guarded is None or options.minutes is None:
            return options
        return replace(options, minutes=options.minutes * (1 - COST))

    @property
    def decision(self) -> Decision:
        """Says whether the tuning is checked, and what was found."""
        if self.guarded is not None:
            value = f"{self.guarded.share:.0%} of the change is kept" if self.guarded.share else "nothing is kept"
            return Decision("few-shot guard", value, self.guarded.found)
        most = self.job.recipe.train.guard or 0
        if not self.job.recipe.has_target_labels:
            return Decision("few-shot guard", "no check", "no label of the target is tuned on")
        why = (
            f"{counted(self.pictures, 'picture')}; it checks {LEAST_PICTURES} to {most}"
            if most
            else "it is off in the recipe"
        )
        return Decision("few-shot guard", "no check", why)

    def keep(self) -> None:
        """Takes the tuned weights back as far as the check said."""
        if self.guarded is not None:
            keep_share(self.job.adapter, self._start, self.guarded.share)

    def to_dict(self) -> dict[str, Any]:
        """``pictures`` and, where it was checked, what the check found."""
        found = None if self.guarded is None else asdict(self.guarded)
        if found:
            found["losses"] = {f"{share:g}": loss for share, loss in found["losses"].items()}
        return {"pictures": self.pictures, "guard": found}
