"""Checks what an adapter keeps of the source (``--keep 99``), and takes its change back where it keeps too little.

The tuned change is scored on pictures of the source and of the target that were not tuned on (in first runs, see
:mod:`lvtune.api.keep_first_run`), nor replayed, nor are scored in the report. If all of it holds the share asked for,
it stays. Else ways back are tried: weights on the straight way from the base's own answer to the tuned state (as in
WiSE-FT, arXiv 2109.01903), all parts of the estimator alike, or the late ones less (:mod:`lvtune.api.change_parts`).
Of each way the largest change that holds is found. The way with half of the share in the late parts is taken, unless
another is better for the target by more than chance; and of that way still less, where that is no worse for the target.
What holds is estimated from two measurements (:mod:`lvtune.api.keep_estimate`); how sure it must be is an option.
Pictures of the source can be replayed while the adapter is tuned as well (:mod:`lvtune.training.source_replay`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lvtune.api.base_answers import answered
from lvtune.api.change_parts import FAVOURED_LATE, LATE_FACTORS, late_names, on_the_way
from lvtune.api.keep_estimate import GROWTH, Moved, Remains, all_moved, deviation_of_ratio, estimate, moved_points
from lvtune.api.keep_words import keep_decision
from lvtune.api.kept_scores import chance_of_difference, score_kept, together
from lvtune.api.replay_data import paths_of, some_of
from lvtune.core.snapshot import snapshot
from lvtune.evaluation.metrics import goodness, is_less_better
from lvtune.evaluation.scores import main_score
from lvtune.evaluation.task import retention
from lvtune.patcher.attaching import attach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from lvtune.api.job import Job
    from lvtune.api.kept_scores import KeptScore
    from lvtune.core.decision import Decision
    from lvtune.domains import Split

SURE = 0.9
"""Of the intervals that are shown."""
MOST_TARGET = 200
"""Samples of the target by which the curve is drawn."""
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2)
"""Of the change, for the curve."""
FINE = 0.05
"""The largest share that holds is found up to this."""
STILL_LESS = (0.1, 0.2, 0.3)
"""By so much less of the change is tried too."""

Point = dict[str, Any]
State = Mapping[str, "Tensor"]


@dataclass
class _Checked:
    """Pictures that a run left out, and its change."""

    source: Split
    target: Split
    base: KeptScore | None = None
    """Of the base alone on the source's pictures."""
    end: State = field(default_factory=dict)
    """The adapter's tensors, tuned by that run."""


class SourceKeeper:
    """Usage: ``begin()`` before the tuning, ``keep()`` after it. It does nothing without ``keep`` in the recipe.

    Where there are first runs, ``note()`` comes after each of them and ``decide()`` after the last.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.curve: list[Point] = []
        """For each share of the change: ``share``, ``late`` (factor on it in the late parts, here 1), ``source``,
        ``target`` (main scores), ``kept``, ``moved``, ``expected`` and ``chance``."""
        self.others: list[Point] = []
        """The same for the largest change that holds with the late parts taken back more, and for still less of the
        change on the way that is taken; empty where all holds."""
        self.taken: Point = {}
        """What was taken of these; empty: nothing was decided."""
        self.holds = False
        self.largest: float | None = None
        """The largest share that holds on the way that is taken."""
        self._start: State = {}
        self._end: State = {}
        self._checked: list[_Checked] = []
        self._main = main_score(job.adapter.skeleton)

    @property
    def share(self) -> float | None:
        """How much of the change is taken; None: nothing was decided."""
        return self.taken.get("share")

    def begin(self) -> None:
        """Notes the base's own answer."""
        job, out = self.job, self.job.kept_out
        if job.recipe.keep is None or out.source is None:
            return
        parts = [(one.source, one.target) for one in out.first_runs] or [(out.source, out.target)]
        self._checked = []
        for opened, target in parts:
            if target is None:
                return
            split = opened.check
            split = split if opened.is_labelled else answered(job.base, split, job.recipe.evaluate)
            most = max(1, MOST_TARGET // len(parts))
            self._checked.append(_Checked(split, some_of(target, job.recipe.seed, most)))
        self._start = snapshot(job.adapter) if job.warm_start is None else job.warm_start.fresh

    def note(self, number: int = 0) -> None:
        """Notes the change of a run, which is in the adapter now."""
        if self._checked:
            self._checked[number].end = snapshot(self.job.adapter)

    def keep(self) -> None:
        """Takes back of the change of the present weights what was decided, now at the latest."""
        self._end = snapshot(self.job.adapter)
        if not self.taken:
            self.note()
            self.decide()
        if self.taken:
            self.job.adapter.load_state_dict(
                on_the_way(self._start, self._end, self.taken["share"], self.taken["late"])
            )

    @contextlib.contextmanager
    def whole(self) -> Iterator[bool]:
        """Inside, the adapter has the whole change; yields whether that is more than what was taken."""
        is_more = bool(self.taken) and (self.taken["share"], self.taken["late"]) != (1.0, 1.0)
        if is_more:
            here = snapshot(self.job.adapter)
            self.job.adapter.load_state_dict(self._end)
        try:
            yield is_more
        finally:
            if is_more:
                self.job.adapter.load_state_dict(here)

    def decide(self) -> None:
        """Scores the changes that were noted and what may be left of them, and chooses what holds at the least cost.

        The adapter has other weights then.
        """
        if not self._checked:
            return
        most = self.job.recipe.keeping.keep_most
        shares = sorted({*SHARES, most}, reverse=True)
        self.curve = [self._with_target(self._point(share)) for share in (0.0, *shares)]
        inside = [point for point in self.curve[1:] if point["share"] <= most]
        largest = next((point for point in inside if self._does_hold(point)), None)
        if largest is not inside[0]:
            above = [point["share"] for point in inside if largest is None or point["share"] > largest["share"]]
            finer = self._between(0.0 if largest is None else largest["share"], min(above), 1.0)
            if finer is not None:
                largest = self._with_target(finer)
                self.curve = sorted([*self.curve, largest], key=lambda one: (one["share"] > 0, -one["share"]))
            low = 0.0 if largest is None else largest["share"]
            ways = LATE_FACTORS[1:] if late_names(self._checked[0].end) else ()
            found = (self._largest(low, most, late) for late in ways)
            self.others = [self._with_target(point) for point in found if point is not None]
        holding = [point for point in (largest, *self.others) if point is not None and point["target"] is not None]
        self.holds = largest is not None or bool(self.others)
        self.taken = self._best(holding) if holding else largest or max(inside, key=self._sum)
        self.largest = self.taken["share"] if self.holds else None
        if holding and self.taken is not inside[0]:
            self.taken = self._still_less(self.taken)

    def _largest(self, low: float, most: float, late: float) -> Point | None:
        """The largest share above ``low`` that holds; None: none does."""
        whole = self._point(most, late)
        return whole if self._does_hold(whole) else self._between(low, most, late)

    def _between(self, low: float, high: float, late: float) -> Point | None:
        """The largest share that holds between one that does and one that does not; None: none in between."""
        found = None
        while high - low > FINE + 1e-6:
            point = self._point(round((low + high) / 2, 3), late)
            if self._does_hold(point):
                found, low = point, point["share"]
            else:
                high = point["share"]
        return found

    def _does_hold(self, point: Point) -> bool:
        recipe = self.job.recipe
        return point["remains"].at_least(recipe.keeping.keep_sure) >= (recipe.keep or 0.0) / 100

    def _best(self, points: list[Point]) -> Point:
        """The point that is best for the target; by less than chance none is better than the favoured one."""
        favoured = next((point for point in points if point["late"] == FAVOURED_LATE), points[0])

        def gain(point: Point) -> float:
            gained = goodness(self._main, point["target"]) - goodness(self._main, favoured["target"])
            return gained - chance_of_difference(point["on_target"], favoured["on_target"])

        return max((favoured, *points), key=gain)

    def _still_less(self, point: Point) -> Point:
        """The smallest change on the same way that holds and is no worse for the target: what it lacks was no gain."""
        known = {(one["share"], one["late"]): one for one in self.curve}
        tried, least = [], goodness(self._main, point["target"])
        for less in STILL_LESS:
            share, late = round(point["share"] - less, 3), point["late"]
            if share >= FINE:
                tried.append(known.get((share, late)) or self._with_target(self._point(share, late)))
        self.others += [one for one in tried if (one["share"], one["late"]) not in known]
        free = [one for one in tried if self._does_hold(one) and goodness(self._main, one["target"]) >= least]
        return min(free, key=lambda one: one["share"], default=point)

    def _sum(self, point: Point) -> float:
        return goodness(self._main, point["source"]) + goodness(self._main, point["target"])

    def _point(self, share: float, late: float = 1.0) -> Point:
        """The main score of the source with a share of the change; 0: the base alone."""
        scores = self._scores(share, late, "source")
        if not share:
            for one, score in zip(self._checked, scores, strict=True):
                one.base = score
        kept, remains, moved = self._remains(scores)
        return {
            "share": share, "late": late, "source": together(scores).value, "target": None, "kept": kept,
            "moved": None if moved is None else moved.share,
            "expected": remains.share, "chance": remains.share - remains.at_least(SURE), "remains": remains,
        }  # fmt: skip

    def _with_target(self, point: Point) -> Point:
        """The same with the main score of the target."""
        score = together(self._scores(point["share"], point["late"], "target"))
        return {**point, "target": score.value, "on_target": score}

    def _scores(self, share: float, late: float, which: Literal["source", "target"]) -> list[KeptScore]:
        """Scores each run's pictures that were left out, with a share of its own change."""
        job, found = self.job, []
        for one in self._checked:
            split: Split = getattr(one, which)
            category = job.category if share and which == "target" else None
            if share:
                job.adapter.load_state_dict(on_the_way(self._start, one.end, share, late))
                job.adapter.eval()
            with attach(job.base, job.adapter, name="kept") if share else contextlib.nullcontext():
                found.append(self._score(split, category))
        return found

    def _remains(self, scores: list[KeptScore]) -> tuple[float | None, Remains, Moved | None]:
        """The source score as a share of the base's, the estimate of what remains, and how many points moved."""
        is_error, skeleton = is_less_better(self._main), self.job.adapter.skeleton
        bases = [one.base for one in self._checked if one.base is not None]
        base, source, opened = together(bases), together(scores), self.job.kept_out.source
        kept = retention(base.value, source.value, is_error)
        deviation = deviation_of_ratio(*((base.own, source.own) if is_error else (source.own, base.own)))
        moved = None
        # the estimate by points that moved was measured on labels and PCK
        if not is_error and opened is not None and opened.is_labelled:
            parts = zip(self._checked, bases, scores, strict=True)
            moved = all_moved([moved_points(one.source, skeleton, was.points, now.points) for one, was, now in parts])
        growth = GROWTH if len(self._checked) > 1 else 1.0
        return kept, estimate(kept or 0.0, deviation, moved, growth), moved

    def _score(self, split: Split, category: Any) -> KeptScore:
        job = self.job
        return score_kept(
            job.base, split, job.adapter.skeleton, self._main, category=category, options=job.recipe.evaluate
        )

    @property
    def decision(self) -> Decision | None:
        """Says how much of the change is kept, and what it cost; None without ``keep``."""
        found = self.to_dict()
        return None if found is None else keep_decision(found)

    def to_dict(self) -> dict[str, Any] | None:
        """What was asked, measured and taken; None without ``keep``."""
        if not self.taken:
            return None
        opened = self.job.kept_out.source
        assert opened is not None
        replay, keeping = opened.replay, self.job.recipe.keeping
        towards = "labels" if opened.with_labels else "base"
        return {
            "asked": self.job.recipe.keep, "share": self.share, "late": self.taken["late"], "largest": self.largest,
            "holds": self.holds, "sure": keeping.keep_sure, "most": keeping.keep_most, "metric": self._main,
            "runs": 1 + len(self.job.kept_out.first_runs),
            "curve": [_told(point) for point in self.curve], "others": [_told(point) for point in self.others],
            "source": self._checked[0].source.name, "labels": opened.is_labelled,
            "source_pictures": sum(len(paths_of(one.source)) for one in self._checked),
            "target_pictures": sum(len(paths_of(one.target)) for one in self._checked),
            "replay": None if replay is None else {
                "pictures": len(paths_of(replay)), "from": replay.name, "answers": towards,
                "every": keeping.replay_every, "weight": keeping.weight,
            },
        }  # fmt: skip


def _told(point: Point) -> Point:
    return {name: value for name, value in point.items() if name not in ("remains", "on_target")}
