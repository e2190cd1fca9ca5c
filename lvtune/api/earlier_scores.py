"""Scores the earlier domains of an adapter that goes on: before the tuning on a further domain, and after it."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from lvtune.core.decision import Decision
from lvtune.domains.few_pictures import count_pictures
from lvtune.evaluation.metrics import is_less_better, metric_name, unit_of
from lvtune.evaluation.task import gained
from lvtune.patcher.attaching import attach

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.api.scoring import Scoring
    from lvtune.evaluation.task import Scores


class EarlierScores:
    """Usage: ``begin()`` before the tuning, ``end()`` with the adapter attached. Without ``after`` it does nothing."""

    def __init__(self, job: Job, scoring: Scoring) -> None:
        self.job, self.scoring = job, scoring
        self.scored = [one for one in job.earlier if one.test is not None]
        self._before: list[Scores] = []
        self._after: list[Scores] = []

    def begin(self) -> None:
        """Scores the adapter as it is."""
        if not self.scored:
            return
        self.job.adapter.eval()
        with attach(self.job.base, self.job.adapter, name="earlier"):
            self._before = self._scores()

    def end(self) -> None:
        """Scores the tuned adapter, which is attached."""
        self._after = self._scores()

    def _scores(self) -> list[Scores]:
        pairs = [(one.test, one.link.categories) for one in self.scored]
        return [self.scoring.further(test, names) for test, names in pairs if test is not None]

    @property
    def decision(self) -> Decision | None:
        """Says how much was forgotten; None without ``after``."""
        found = self.to_dict()
        if found is None or found["forgetting"] is None:
            return None
        unit, name = unit_of(found["metric"]), metric_name(found["metric"])
        worst = max(found["domains"], key=lambda one: one["forgetting"])
        value = f"{found['forgetting']:.2f} {'points' if unit == '%' else unit} of {name} on average"
        return Decision("forgotten", value, f"most of {worst['domain']}: {worst['forgetting']:.2f}")

    def to_dict(self) -> dict[str, Any] | None:
        """Returns the part ``after`` of the report; None without ``after``.

        ``adapter``, ``objective``, ``metric``, ``domains`` (for each earlier one that was scored: ``domain``, ``name``,
        ``pictures`` shown again, ``before``, ``after``, ``forgetting``), ``missing`` (domain to why it was not scored),
        ``forgetting`` (the mean; positive is worse), ``new`` (``domain``, ``before``, ``after``, ``gained``).
        """
        job = self.job
        if job.recipe.after is None:
            return None
        target, start = self.scoring.target.after_on, self.scoring.at_start
        metric = target.main if target is not None else "pck@0.2"
        rows = [self._row(place, metric) for place in range(len(self._after))]
        lost = [row["forgetting"] for row in rows if row["forgetting"] is not None]
        new = [None if scores is None else scores.headline().get(metric) for scores in (start, target)]
        return {
            "adapter": job.recipe.after, "objective": job.recipe.objective, "metric": metric, "domains": rows,
            "missing": {one.name: one.missing for one in job.earlier if one.test is None},
            "forgetting": fmean(lost) if lost else None,
            "new": {"domain": job.domain.name, "before": new[0], "after": new[1],
                    "gained": gained(new[0], new[1], is_less_better(metric))},
        }  # fmt: skip

    def _row(self, place: int, metric: str) -> dict[str, Any]:
        one, before, after = self.scored[place], self._before[place], self._after[place]
        values = [scores.headline() for scores in (before, after)]
        better = gained(values[0].get(metric), values[1].get(metric), is_less_better(metric))
        return {
            "domain": one.name, "name": one.test.name if one.test else "",
            "pictures": 0 if one.train is None else count_pictures(one.train),
            "before": values[0].get(metric), "after": values[1].get(metric),
            "forgetting": None if better is None else -better,
        }  # fmt: skip


def chain_values(job: Job) -> dict[str, Any]:
    """Returns what adapter file and report say of the earlier domains; nothing without ``after``."""
    return {"earlier": [one.link.to_dict() for one in job.earlier]} if job.recipe.after is not None else {}
