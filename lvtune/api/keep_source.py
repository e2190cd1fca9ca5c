"""Takes the change that tuning made back as far as the source's score needs it (``--keep 99``).

The weights on the straight way from the base's own answer to the tuned state (as in WiSE-FT, arXiv 2109.01903) are
scored on pictures of the source and of the target that were neither tuned on nor are scored in the report. The largest
share of the change is taken whose source score is at least the share asked for of the base's, by more than chance: the
lower end of its interval is what counts, since a few pictures may flatter it. The curve, target against
source, goes into the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.calibrating import observe
from lvtune.api.kept_out import some_of
from lvtune.core.decision import Decision
from lvtune.core.snapshot import snapshot
from lvtune.domains.few_pictures import pictures_of_samples
from lvtune.evaluation.inference import predict_evidence
from lvtune.evaluation.metrics import goodness, is_less_better, metric_name
from lvtune.evaluation.scores import main_score
from lvtune.evaluation.task import retention
from lvtune.patcher.attaching import attach
from lvtune.training.guard import between, keep_share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from lvtune.api.job import Job
    from lvtune.domains import Split

SURE = 1.2816
"""Standard errors by which the share must hold: the 90 % quantile of the normal distribution, on one side."""
MOST_TARGET = 200
"""Samples of the target by which the curve is drawn; they decide nothing."""
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""How much of the change may be kept."""


class SourceKeeper:
    """Usage: ``begin()`` before the tuning, ``keep()`` after it. It does nothing without ``keep`` in the recipe."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.curve: list[dict[str, Any]] = []
        """For each share of the change: ``share``, ``source``, ``target`` (main scores) and ``kept``."""
        self.share: float | None = None
        self.holds = False
        self._start: Mapping[str, Tensor] = {}
        self._main = main_score(job.adapter.skeleton)
        self._sums: list[np.ndarray] = []
        """For each point of the curve, what each instance of the source adds to its score."""

    def begin(self) -> None:
        """Notes the base's own answer."""
        job = self.job
        if job.kept_out.source is not None:
            self._start = snapshot(job.adapter) if job.warm_start is None else job.warm_start.fresh

    def keep(self) -> None:
        """Scores the shares of the change, and takes the largest one that holds."""
        job, source, target = self.job, self.job.kept_out.source, self.job.kept_out.target
        if source is None or target is None or job.recipe.keep is None:
            return
        target = some_of(target, job.recipe.seed, MOST_TARGET)
        start, end = dict(self._start), snapshot(job.adapter)
        self._sums = []
        self.curve = [self._point(0.0, source, target, {})]
        for share in SHARES:
            self.curve.append(self._point(share, source, target, between(start, end, share)))
        before = self.curve[0]["source"]
        for point, seen in zip(self.curve, self._sums or [_NOTHING] * len(self.curve), strict=True):
            point["kept"] = retention(before, point["source"], is_less_better(self._main))
            first = self._sums[0] if self._sums else _NOTHING
            ends = (first, seen) if is_less_better(self._main) else (seen, first)
            point["chance"] = _chance(*ends)
        wanted = job.recipe.keep / 100
        held = [p["share"] for p in self.curve[1:] if (p["kept"] or 0.0) - p["chance"] >= wanted]
        kept = max(held) if held else float(self._best()["share"])
        job.adapter.load_state_dict(end)
        keep_share(job.adapter, start, kept)
        self.holds, self.share = bool(held), kept

    def _point(self, share: float, source: Split, target: Split, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Main scores of source and target with this state of the adapter; empty: the base alone."""
        job = self.job
        if not state:
            found = [self._score(split, None) for split in (source, target)]
        else:
            job.adapter.load_state_dict(dict(state))
            job.adapter.eval()
            with attach(job.base, job.adapter, name="kept"):
                found = [self._score(source, None), self._score(target, job.category)]
        return {"share": share, "source": found[0], "target": found[1], "kept": None, "chance": 0.0}

    def _score(self, split: Split, category: Any) -> float | None:
        """The main score: PCK@0.2 in percent, or the mean error in pixels; None without a labelled point."""
        options, skeleton = self.job.recipe.evaluate, self.job.adapter.skeleton
        found = predict_evidence(
            self.job.base, split, skeleton=skeleton, category=category, flip_test=options.flip_test,
            batch_size=options.batch_size,
        )  # fmt: skip
        seen = observe(split, found, skeleton, None)
        if split is self.job.kept_out.source:
            own = seen.errors * found.heights[:, None] if is_less_better(self._main) else seen.hits * seen.counted
            self._sums.append(np.nan_to_num(own, posinf=0.0).sum(1))
        if is_less_better(self._main):
            pixels = (seen.errors * found.heights[:, None])[np.isfinite(seen.errors)]
            return float(pixels.mean()) if len(pixels) else None
        return 100 * float(seen.hits[seen.counted].mean()) if seen.counted.any() else None

    def _best(self) -> dict[str, Any]:
        """The share with the best sum of both scores, where none holds what was asked."""
        return max(self.curve[1:], key=lambda p: sum(goodness(self._main, p[side]) for side in ("source", "target")))

    @property
    def decision(self) -> Decision | None:
        """Says how much of the change is kept, and what it cost; None without ``keep``."""
        if self.share is None or not self.curve:
            return None
        keep, found = self.job.recipe.keep, {point["share"]: point for point in self.curve}
        here, whole = found[self.share], found[1.0]
        name = metric_name(self._main)
        value = f"{self.share:.0%} of the change is kept"
        if not self.holds:
            value += (
                f", and {keep:g} % of the source is NOT held; lvtune takes the share with the best sum of both scores"
            )
        why = (
            f"on pictures kept out: source {name} {_percent(here['kept'])} of the base's "
            f"({_percent(here['chance'])} by chance), {_percent(whole['kept'])} with the whole change; target "
            f"{_number(here['target'])}, {_number(whole['target'])} with the whole change"
        )
        return Decision(f"keep {keep:g}", value, why)

    def to_dict(self) -> dict[str, Any] | None:
        """``asked``, ``share``, ``holds``, ``metric``, ``curve`` and the number of pictures; None without ``keep``."""
        if self.share is None:
            return None
        kept = self.job.kept_out
        assert kept.source is not None and kept.target is not None
        return {
            "asked": self.job.recipe.keep, "share": self.share, "holds": self.holds, "metric": self._main,
            "curve": self.curve, "source": kept.source.name,
            "source_pictures": len(set(pictures_of_samples(kept.source))),
            "target_pictures": len(set(kept.target.table.column("image").astype(str))),
        }  # fmt: skip


_NOTHING = np.zeros(0)


def _chance(above: np.ndarray, below: np.ndarray) -> float:
    """By how much the ratio of two sums over the same instances may be too high by chance, in one of ten cases."""
    total, count = float(below.sum()), len(below)
    if not total or count < 2:
        return 0.0
    away = above - above.sum() / total * below
    return SURE * float(np.sqrt((away**2).sum() * count / (count - 1))) / total


def _percent(value: float | None) -> str:
    return "nothing" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"
