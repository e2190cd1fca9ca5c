"""Whether the start that ships is a better place to begin at than the base's own answer, on the pictures at hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lvtune.core.decision import Decision
from lvtune.core.snapshot import snapshot
from lvtune.core.text import counted
from lvtune.data.subset import Subset
from lvtune.evaluation.inference import split_dataset
from lvtune.training.guard import losses_of
from lvtune.training.objectives import OBJECTIVES

if TYPE_CHECKING:
    from lvtune.api.job import Job

MOST = 128
"""Training pictures that are looked at, evenly spread."""


@dataclass(frozen=True)
class Compared:
    """Mean loss of the pose on some training pictures, without augmentation."""

    base: float
    start: float
    pictures: int


class WarmStartCheck:
    """Usage: ``check()`` before the tuning.

    A start that was asked for is not checked, nor where no label of the target is tuned on.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.warm_start = job, job.warm_start
        self.compared: Compared | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the tuning begins there."""
        if self.warm_start is None or self.warm_start.misfit:
            return False
        return self.compared is None or self.compared.start < self.compared.base

    @property
    def note(self) -> str:
        """For progress and report; empty where there is nothing to say."""
        if self.warm_start is None:
            return ""
        if self.warm_start.misfit:
            return f"{self.warm_start.name} does not fit ({self.warm_start.misfit}): begins at the base's own answer"
        if self.compared is None:
            return f"begins at {self.warm_start.name}"
        found = f"loss {self.compared.start:.3g} there, {self.compared.base:.3g} from the base"
        if self.is_kept:
            return (
                f"begins at {self.warm_start.name} ({found}, on {counted(self.compared.pictures, 'training picture')})"
            )
        return f"{self.warm_start.name} does not help here ({found}): begins at the base's own answer"

    @property
    def decision(self) -> Decision:
        """Says where the tuning begins, and why."""
        if self.warm_start is None:
            return Decision("start", "the base's own answer", "no warm start ships for this, or none was asked for")
        value = f"at {self.warm_start.name}" if self.is_kept else "the base's own answer"
        if self.warm_start.misfit:
            return Decision("start", value, f"{self.warm_start.name} does not fit: {self.warm_start.misfit}")
        if self.compared is None:
            return Decision("start", value, "as the recipe says" if self.warm_start.is_chosen else "it ships")
        base, start = self.compared.base, self.compared.start
        looked_at = counted(self.compared.pictures, "training picture")
        why = f"loss {start:.3g} at the start, {base:.3g} from the base, on {looked_at}"
        return Decision("start", value, why)

    def check(self) -> None:
        """Takes the adapter back to as it was created where the start is no better."""
        job, labelled = self.job, self.job.recipe.has_target_labels
        if self.warm_start is None or self.warm_start.is_chosen or self.warm_start.misfit or not labelled:
            return
        data = split_dataset(job.base, job.train)
        every = Subset(data, sorted({i * len(data) // MOST for i in range(MOST)}))
        judge = OBJECTIVES.get(job.base.objective)()
        started = snapshot(job.adapter)
        found = {}
        for name, state in (("base", self.warm_start.fresh), ("start", started)):
            job.adapter.load_state_dict(state)
            losses = losses_of(job.base, job.adapter, every, judge, f"looking where to begin: {name}")
            found[name] = float(losses.mean())
        self.compared = Compared(**found, pictures=len(every))
        if not self.is_kept:
            job.adapter.load_state_dict(self.warm_start.fresh)
            job.warm_start = None

    def to_dict(self) -> dict[str, Any] | None:
        """``name``, ``kept`` and, where it was checked, the losses; None: begun at the base's own answer."""
        if self.warm_start is None:
            return None
        return {
            "name": self.warm_start.name,
            "kept": self.is_kept,
            "compared": None if self.compared is None else asdict(self.compared),
        }
