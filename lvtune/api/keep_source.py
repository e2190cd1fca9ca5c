"""Checks what an adapter keeps of the source (``--keep 99``), and takes its change back where it keeps too little.

Replaying pictures of the source while the adapter is tuned is the first means (:mod:`lvtune.training.source_replay`).
Here the tuned change is scored on pictures of the source and of the target that were neither tuned on, nor replayed,
nor are scored in the report. If all of it holds the share asked for, it stays. Else two ways back are tried: weights on
the straight way from the base's own answer to the tuned state (as in WiSE-FT, arXiv 2109.01903), and the change without
one part of the estimator. The way that holds and costs the target least is taken. How sure it must be that a share
holds is an option: where nothing was replayed, the lower end of its interval counts, since a few pictures may flatter
it.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.base_answers import answered
from lvtune.api.change_parts import parts_of, without
from lvtune.api.keep_words import keep_decision
from lvtune.api.kept_scores import score_kept
from lvtune.api.replay_data import paths_of, some_of
from lvtune.core.snapshot import snapshot
from lvtune.evaluation.metrics import goodness, is_less_better
from lvtune.evaluation.scores import main_score
from lvtune.evaluation.task import retention
from lvtune.patcher.attaching import attach
from lvtune.training.guard import between

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from lvtune.api.job import Job
    from lvtune.core.decision import Decision
    from lvtune.domains import Split

SURE = 0.9
"""Of the intervals that are shown; and how sure it must be where nothing is replayed and nobody says so."""
SURE_WITH_REPLAY = 0.5
"""The same where the tuning itself is held to the source: then the measured share is not chosen for being high."""
MOST_WITH_REPLAY = 0.8
"""Largest share of the change that is taken where pictures are replayed (measured; benchmarks/README.md)."""
MOST_TARGET = 100
"""Samples of the target by which the curve is drawn."""
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""How much of the change may be kept."""

Point = dict[str, Any]
State = dict[str, "Tensor"]


class SourceKeeper:
    """Usage: ``begin()`` before the tuning, ``keep()`` after it. It does nothing without ``keep`` in the recipe."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.curve: list[Point] = []
        """For each share of the change: ``share``, ``source``, ``target`` (main scores), ``kept`` and ``chance``."""
        self.parts: list[Point] = []
        """The same for the change without one part of the estimator, ``left_out``; empty where all of it holds."""
        self.taken: Point = {}
        """What was taken of these; empty: nothing was decided."""
        self.holds = False
        self._start: Mapping[str, Tensor] = {}
        self._source: Split | None = None
        self._main = main_score(job.adapter.skeleton)
        self._base_sums = np.zeros(0)
        self._sums = np.zeros(0)
        """What each instance of the source adds to the score that was measured last; the same of the base alone."""

    @property
    def share(self) -> float | None:
        """How much of the change is taken; None: nothing was decided."""
        return self.taken.get("share")

    @property
    def sure(self) -> float:
        """How sure it must be that the share is held."""
        asked, source = self.job.recipe.keeping.keep_sure, self.job.kept_out.source
        if asked is not None:
            return asked
        return SURE if source is None or source.replay is None else SURE_WITH_REPLAY

    @property
    def most(self) -> float:
        """Largest share of the change that is taken."""
        asked, source = self.job.recipe.keeping.keep_most, self.job.kept_out.source
        if asked is not None:
            return asked
        return 1.0 if source is None or source.replay is None else MOST_WITH_REPLAY

    def begin(self) -> None:
        """Notes the base's own answer."""
        job, found = self.job, self.job.kept_out.source
        if found is None:
            return
        self._source = found.check if found.is_labelled else answered(job.base, found.check, job.recipe.evaluate)
        self._start = snapshot(job.adapter) if job.warm_start is None else job.warm_start.fresh

    def keep(self) -> None:
        """Scores the change and what may be left of it, and takes what holds at the least cost."""
        job, source, target = self.job, self._source, self.job.kept_out.target
        if source is None or target is None or job.recipe.keep is None:
            return
        target = some_of(target, job.recipe.seed, MOST_TARGET)
        start, end = dict(self._start), snapshot(job.adapter)
        most = self.most
        states = {share: between(start, end, share) for share in sorted({*SHARES, most}, reverse=True)}
        self.curve = [self._point({"share": 0.0}, source, target, {})]
        self.curve += [self._point({"share": share}, source, target, state) for share, state in states.items()]
        if not self._does_hold(next(point for point in self.curve if point["share"] == most)):
            cut = {name: without(start, states[most], names) for name, names in parts_of(end).items()}
            cut = cut if len(cut) > 1 else {}
            self.parts = [
                self._point({"share": most, "left_out": name}, source, target, state) for name, state in cut.items()
            ]
            states |= cut
        self._take()
        job.adapter.load_state_dict(states[self.taken.get("left_out", self.taken["share"])])

    def _take(self) -> None:
        """Takes the largest share that holds; in its place the change without a part, if it is better for the target.

        Where neither holds, the share with the best sum of both scores.
        """
        allowed = [point for point in self.curve[1:] if point["share"] <= self.most]
        shares = [point for point in allowed if self._does_hold(point)]
        parts = [point for point in self.parts if self._does_hold(point) and point["target"] is not None]
        self.holds = bool(shares or parts)
        best = max(parts, key=self._for_target, default=None)
        largest = shares[0] if shares else None
        if best is not None and (largest is None or self._for_target(best) > self._for_target(largest)):
            self.taken = best
        else:
            self.taken = largest or max(allowed, key=self._sum)

    def _does_hold(self, point: Point) -> bool:
        by_chance = point["chance"] / _deviations(SURE) * _deviations(self.sure)
        return (point["kept"] or 0.0) - by_chance >= (self.job.recipe.keep or 0.0) / 100

    def _for_target(self, point: Point) -> float:
        return goodness(self._main, point["target"])

    def _sum(self, point: Point) -> float:
        return goodness(self._main, point["source"]) + goodness(self._main, point["target"])

    def _point(self, point: Point, source: Split, target: Split, state: Mapping[str, Tensor]) -> Point:
        """Adds the main scores of source and target with this state of the adapter; empty: the base alone."""
        job = self.job
        if state:
            job.adapter.load_state_dict(dict(state))
            job.adapter.eval()
            with attach(job.base, job.adapter, name="kept"):
                found = [self._score(source, None), self._score(target, job.category)]
        else:
            found = [self._score(split, None) for split in (source, target)]
            self._base_sums = self._sums
        before = found[0] if not self.curve else self.curve[0]["source"]
        is_error = is_less_better(self._main)
        ends = (self._base_sums, self._sums) if is_error else (self._sums, self._base_sums)
        kept = retention(before, found[0], is_error)
        return {**point, "source": found[0], "target": found[1], "kept": kept, "chance": _chance(*ends)}

    def _score(self, split: Split, category: Any) -> float | None:
        """The main score; None without a labelled point."""
        job = self.job
        found = score_kept(
            job.base, split, job.adapter.skeleton, self._main, category=category, options=job.recipe.evaluate
        )
        if split is self._source:
            self._sums = found.own
        return found.value

    @property
    def decision(self) -> Decision | None:
        """Says how much of the change is kept, and what it cost; None without ``keep``."""
        found = self.to_dict()
        return None if found is None else keep_decision(found)

    def to_dict(self) -> dict[str, Any] | None:
        """What was asked, measured and taken; None without ``keep``."""
        if not self.taken:
            return None
        source, target, opened = self._source, self.job.kept_out.target, self.job.kept_out.source
        assert source is not None and target is not None and opened is not None
        replay = opened.replay
        towards = "labels" if opened.with_labels else "base"
        return {
            "asked": self.job.recipe.keep, "share": self.share, "left_out": self.taken.get("left_out"),
            "holds": self.holds, "sure": self.sure, "most": self.most, "metric": self._main,
            "curve": self.curve, "parts": self.parts,
            "source": source.name, "labels": opened.is_labelled,
            "source_pictures": len(paths_of(source)),
            "target_pictures": len(set(target.table.column("image").astype(str))),
            "replay": None if replay is None else {
                "pictures": len(paths_of(replay)), "from": replay.name, "answers": towards,
                "every": self.job.recipe.keeping.replay_every, "weight": self.job.recipe.keeping.replay_weight,
            },
        }  # fmt: skip


def _chance(above: np.ndarray, below: np.ndarray) -> float:
    """By how much the ratio of two sums over the same instances may be too high by chance, in one of ten cases."""
    total, count = float(below.sum()), len(below)
    if not total or count < 2:
        return 0.0
    away = above - above.sum() / total * below
    return _deviations(SURE) * float(np.sqrt((away**2).sum() * count / (count - 1))) / total


def _deviations(sure: float) -> float:
    """Quantile of the normal distribution."""
    return NormalDist().inv_cdf(sure)
