"""Checks what an adapter keeps of the source (``--keep 99``), and takes its change back where it keeps too little.

The tuned change is scored on pictures of the source and of the target that were not tuned on (in a first run, see
:mod:`lvtune.api.keep_first_run`), nor replayed, nor are scored in the report. If all of it holds the share asked for,
it stays. Else ways back are tried: weights on the straight way from the base's own answer to the tuned state (as in
WiSE-FT, arXiv 2109.01903), all parts of the estimator alike, or the late ones less (:mod:`lvtune.api.change_parts`).
Of each way the largest change that holds is found, and the one that is best for the target is taken. What holds is
estimated from two measurements (:mod:`lvtune.api.keep_estimate`); how sure it must be is an option. Pictures of the
source can be replayed while the adapter is tuned as well (:mod:`lvtune.training.source_replay`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from lvtune.api.base_answers import answered
from lvtune.api.change_parts import LATE_FACTORS, late_names, on_the_way
from lvtune.api.keep_estimate import Moved, Remains, deviation_of_ratio, estimate, moved_points
from lvtune.api.keep_words import keep_decision
from lvtune.api.kept_scores import score_kept
from lvtune.api.replay_data import paths_of, some_of
from lvtune.core.snapshot import snapshot
from lvtune.evaluation.metrics import goodness, is_less_better
from lvtune.evaluation.scores import main_score
from lvtune.evaluation.task import retention
from lvtune.patcher.attaching import attach

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from lvtune.api.job import Job
    from lvtune.api.kept_scores import KeptScore
    from lvtune.core.decision import Decision
    from lvtune.domains import Split

SURE = 0.9
"""Of the intervals that are shown."""
MOST_TARGET = 100
"""Samples of the target by which the curve is drawn."""
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""How much of the change may be kept."""

Point = dict[str, Any]
State = dict[str, "Tensor"]


class SourceKeeper:
    """Usage: ``begin()`` before the tuning, ``keep()`` after it. It does nothing without ``keep`` in the recipe.

    ``decide()`` comes after a first run, where there is one.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.curve: list[Point] = []
        """For each share of the change: ``share``, ``late`` (factor on it in the late parts, here 1), ``source``,
        ``target`` (main scores), ``kept``, ``moved``, ``expected`` and ``chance``."""
        self.others: list[Point] = []
        """The same for the largest change that holds with the late parts taken back more; empty where all holds."""
        self.taken: Point = {}
        """What was taken of these; empty: nothing was decided."""
        self.holds = False
        self._start: Mapping[str, Tensor] = {}
        self._end: Mapping[str, Tensor] = {}
        self._source: Split | None = None
        self._main = main_score(job.adapter.skeleton)
        self._base: KeptScore | None = None
        """Of the base alone on the source's pictures."""

    @property
    def share(self) -> float | None:
        """How much of the change is taken; None: nothing was decided."""
        return self.taken.get("share")

    def begin(self) -> None:
        """Notes the base's own answer."""
        job, found = self.job, self.job.kept_out.source
        if found is None:
            return
        self._source = found.check if found.is_labelled else answered(job.base, found.check, job.recipe.evaluate)
        self._start = snapshot(job.adapter) if job.warm_start is None else job.warm_start.fresh

    def keep(self) -> None:
        """Takes back of the change of the present weights what was decided, now at the latest."""
        if self.taken:
            self._end = snapshot(self.job.adapter)
        else:
            self.decide()
        if self.taken:
            self.job.adapter.load_state_dict(self._state(self.taken["share"], self.taken["late"]))

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
        """Scores the present change and what may be left of it, and chooses what holds at the least cost.

        The adapter has other weights then.
        """
        job = self.job
        if self._source is None or job.kept_out.target is None or job.recipe.keep is None:
            return
        self._end = snapshot(job.adapter)
        most = job.recipe.keeping.keep_most
        allowed = [most, *(share for share in SHARES if share < most)]
        self.curve = [self._point(0.0)]
        self.curve += [self._point(share) for share in sorted({*SHARES, most}, reverse=True)]
        inside = [point for point in self.curve[1:] if point["share"] <= most]
        largest = next((point for point in inside if self._does_hold(point)), None)
        if largest is not inside[0]:
            largest = self._finer(largest, allowed, 1.0)
            least = 0.0 if largest is None else largest["share"]
            ways = LATE_FACTORS[1:] if late_names(self._end) else ()
            found = (self._largest([share for share in allowed if share > least], late) for late in ways)
            self.others = [point for point in found if point is not None]
        holding = [point for point in (largest, *self.others) if point is not None and point["target"] is not None]
        self.holds = largest is not None or bool(self.others)
        # of equal ones the first: all parts alike
        self.taken = max(holding, key=self._for_target, default=largest or max(inside, key=self._sum))

    def _largest(self, shares: list[float], late: float) -> Point | None:
        """The largest of the falling shares that holds; None: none does."""
        for share in shares:
            point = self._point(share, late)
            if self._does_hold(point):
                return self._finer(point, shares, late)
        return None

    def _finer(self, point: Point | None, shares: list[float], late: float) -> Point | None:
        """The middle between a share that holds and the next larger one, where that holds too."""
        larger = [share for share in shares if point is not None and share > point["share"]]
        if point is None or not larger:
            return point
        middle = self._point(round((point["share"] + min(larger)) / 2, 3), late)
        if not self._does_hold(middle):
            return point
        if late == 1:
            self.curve = sorted([*self.curve, middle], key=lambda one: (one["share"] > 0, -one["share"]))
        return middle

    def _does_hold(self, point: Point) -> bool:
        recipe = self.job.recipe
        return point["remains"].at_least(recipe.keeping.keep_sure) >= (recipe.keep or 0.0) / 100

    def _for_target(self, point: Point) -> float:
        return goodness(self._main, point["target"])

    def _sum(self, point: Point) -> float:
        return goodness(self._main, point["source"]) + goodness(self._main, point["target"])

    def _state(self, share: float, late: float) -> State:
        return on_the_way(self._start, self._end, share, late)

    def _point(self, share: float, late: float = 1.0) -> Point:
        """The main scores of source and target with a share of the change; 0: the base alone."""
        job, pictures, target = self.job, self._source, self.job.kept_out.target
        assert pictures is not None and target is not None
        target = some_of(target, job.recipe.seed, MOST_TARGET)
        if share:
            job.adapter.load_state_dict(self._state(share, late))
            job.adapter.eval()
            with attach(job.base, job.adapter, name="kept"):
                source, value = self._score(pictures, None), self._score(target, job.category).value
        else:
            source, value = self._score(pictures, None), self._score(target, None).value
            self._base = source
        kept, remains, moved = self._remains(source)
        return {
            "share": share, "late": late, "source": source.value, "target": value, "kept": kept,
            "moved": None if moved is None else moved.share,
            "expected": remains.share, "chance": remains.share - remains.at_least(SURE), "remains": remains,
        }  # fmt: skip

    def _remains(self, source: KeptScore) -> tuple[float | None, Remains, Moved | None]:
        """The source score as a share of the base's, the estimate of what remains, and how many points moved."""
        base, is_error = self._base, is_less_better(self._main)
        assert base is not None and self._source is not None
        kept = retention(base.value, source.value, is_error)
        deviation = deviation_of_ratio(*((base.own, source.own) if is_error else (source.own, base.own)))
        opened = self.job.kept_out.source
        # the estimate by points that moved was measured on labels and PCK
        is_known = not is_error and opened is not None and opened.is_labelled
        skeleton = self.job.adapter.skeleton
        moved = moved_points(self._source, skeleton, base.points, source.points) if is_known else None
        return kept, estimate(kept or 0.0, deviation, moved), moved

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
        source, target, opened = self._source, self.job.kept_out.target, self.job.kept_out.source
        assert source is not None and target is not None and opened is not None
        replay, keeping = opened.replay, self.job.recipe.keeping
        towards = "labels" if opened.with_labels else "base"
        return {
            "asked": self.job.recipe.keep, "share": self.share, "late": self.taken["late"],
            "holds": self.holds, "sure": keeping.keep_sure, "most": keeping.keep_most, "metric": self._main,
            "runs": 1 if self.job.kept_out.first is None else 2,
            "curve": [_told(point) for point in self.curve], "others": [_told(point) for point in self.others],
            "source": source.name, "labels": opened.is_labelled,
            "source_pictures": len(paths_of(source)),
            "target_pictures": len(set(target.table.column("image").astype(str))),
            "replay": None if replay is None else {
                "pictures": len(paths_of(replay)), "from": replay.name, "answers": towards,
                "every": keeping.replay_every, "weight": keeping.weight,
            },
        }  # fmt: skip


def _told(point: Point) -> Point:
    return {name: value for name, value in point.items() if name != "remains"}
