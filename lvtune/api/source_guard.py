"""Tuning on the source's pictures alone must not cost the source: what is tuned is checked on pictures kept out.

With ``text_only`` nothing of the target can say whether the tuning helps, but the source's own pictures can say whether
it harms. Some of them are not tuned on. Afterwards the tuned weights, and points on the way back to the start (as in
WiSE-FT, arXiv 2109.01903), are scored on them; the largest share of the change is kept whose loss is no higher than
that of the base alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvtune.api.job import training_data
from lvtune.core.decision import Decision
from lvtune.core.snapshot import snapshot
from lvtune.core.text import counted
from lvtune.data.subset import Subset, nested_order
from lvtune.domains.few_pictures import pictures_of_samples
from lvtune.evaluation.inference import split_dataset
from lvtune.training.guard import SHARES, between, keep_share, losses_of
from lvtune.training.objectives import OBJECTIVES

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset

    from lvtune.api.job import Job

KEPT_OUT, MOST = 0.15, 96
"""Share of the source's pictures that are not tuned on, and their largest number."""
LEAST_PICTURES = 20
"""Source pictures below which none is kept out."""


class SourceGuard:
    """Usage: ``begin()`` before the tuning, ``data()`` to tune on, ``keep()`` after it.

    It works with ``text_only``, unless ``train.guard`` is 0, as where the recipe says how long to tune.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.share: float | None = None
        self.losses: dict[str, float] = {}
        self._out: list[int] = []
        self._start: dict[str, Tensor] = {}

    @property
    def is_active(self) -> bool:
        """Whether pictures are kept out."""
        job = self.job
        return job.recipe.text_only and bool(job.recipe.train.guard) and self._count() >= LEAST_PICTURES

    def _count(self) -> int:
        return len(set(pictures_of_samples(self.job.train)))

    def begin(self) -> None:
        """Notes where the tuning begins, and draws the pictures that are kept out."""
        if not self.is_active:
            return
        names = pictures_of_samples(self.job.train)
        every = list(dict.fromkeys(names))
        order = nested_order(every, [""] * len(every), self.job.recipe.seed)
        out = {every[i] for i in order[: min(MOST, round(KEPT_OUT * len(every)))]}
        self._out = [i for i, name in enumerate(names) if name in out]
        self._start = snapshot(self.job.adapter)

    def data(self) -> Dataset:
        """The pictures to tune on, which keep their numbers."""
        every = training_data(self.job)
        if not self._out:
            return every
        out = set(self._out)
        return Subset(every, [i for i in range(len(every)) if i not in out], renumber=False)

    def keep(self) -> None:
        """Takes the tuned weights back as far as the source needs it."""
        if not self._out:
            return
        job = self.job
        plain = Subset(split_dataset(job.base, job.train, cache=True), self._out)
        judge, end = OBJECTIVES.get(job.base.objective)(), snapshot(job.adapter)
        states = {"base": self._start if job.warm_start is None else job.warm_start.fresh}

        def loss(name: str, state: dict[str, Tensor]) -> float:
            job.adapter.load_state_dict(state)
            self.losses[name] = float(losses_of(job.base, job.adapter, plain, judge).mean())
            return self.losses[name]

        most = loss("base", states["base"])
        shares = sorted(SHARES, reverse=True)
        kept = next((s for s in shares if loss(f"{s:g}", between(self._start, end, s)) <= most), 0.0)
        job.adapter.load_state_dict(end)
        keep_share(job.adapter, self._start, kept)
        self.share = kept

    @property
    def decision(self) -> Decision | None:
        """Says how much of the change is kept; None without ``text_only``."""
        if not self.job.recipe.text_only:
            return None
        if self.share is None:
            why = f"fewer than {LEAST_PICTURES} pictures" if self.job.recipe.train.guard else "it is off in the recipe"
            return Decision("source guard", "no check", why)
        value = f"{self.share:.0%} of the change is kept" if self.share else "nothing is kept"
        losses = ", ".join(f"{loss:.4g} at {name}" for name, loss in self.losses.items() if name != "base")
        looked_at = counted(len(self._out), "source picture")
        why = f"loss on {looked_at} kept out: {self.losses['base']:.4g} of the base, {losses}"
        return Decision("source guard", value, why)

    def to_dict(self) -> dict[str, Any] | None:
        """``share``, ``losses`` (of the base, and by share) and ``kept_out``; None where nothing was checked."""
        if self.share is None:
            return None
        return {"share": self.share, "losses": dict(self.losses), "kept_out": len(self._out)}
