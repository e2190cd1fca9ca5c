"""Scores target, source and further domains during a run: before, with the adapter on, and with it off again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvtune.api.score_cache import ScoreCache
from lvtune.api.shared_points import SharedPoints
from lvtune.core.tensor_file import hash_tensors
from lvtune.data.mixed import MixedTable
from lvtune.evaluation.split_scoring import score_split
from lvtune.evaluation.task import Scores
from lvtune.patcher.attaching import attach, attached

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvtune.api.job import Job
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split

CHECKED = 64
"""Instances by which runs that share their scores check that the base is as before."""


@dataclass
class Measured:
    """Scores of one split before, with the adapter on, and with it off again."""

    before: Scores | None = None
    after_on: Scores | None = None
    after_off: Scores | None = None


class Scoring:
    """Scores every split of one job.

    Args:
        job: prepared.
        mark: fingerprint of its base.
        known: results of earlier runs. With it the base's own scores are not computed again: the fingerprint and the
            predictions for some instances show that the base is as before.
    """

    def __init__(self, job: Job, mark: str, known: ScoreCache | None = None) -> None:
        self.job, self.mark, self.known = job, mark, known
        self.target, self.source = Measured(), Measured()
        self.also = {name: Measured() for name in job.also}
        self.shared = SharedPoints(job)
        self.whole: dict[str, Scores] = {}
        """``target`` and ``source`` with the whole change, where a part of it was taken back."""
        self.at_start: Scores | None = None
        """The target with the warm start alone; None: it was not scored."""
        self.off_checked: int | None = None
        """Instances of the source whose predictions showed that the base is as before; None: all."""
        if known is not None:
            known.share_samples(job)

    def _sides(self) -> list[tuple[Split | None, Measured]]:
        job = self.job
        pairs: list[tuple[Split | None, Measured]] = [(job.test, self.target), (job.source, self.source)]
        return pairs + [(split, self.also[name]) for name, split in job.also.items()]

    def before(self) -> None:
        """Scores the base alone, where it predicts the split's key points."""
        for split, measured in self._sides():
            if split is not None and _is_predicted(split, self.job.base.skeleton):
                measured.before = self._once(split)
        self.shared.before({"target": self.target.before, "source": self.source.before})

    def start(self) -> None:
        """Scores the target with the adapter as it begins, before any of the target's pictures is tuned on."""
        job, skeleton = self.job, self.job.adapter.skeleton
        if not _is_predicted(job.test, skeleton):
            return
        job.adapter.eval()
        with attach(job.base, job.adapter, name="start"):
            if self.known is None or callable(job.category):
                self.at_start = self._score(job.test, skeleton)
                return
            options = job.recipe.evaluate
            begun = hash_tensors(sorted(job.adapter.state_dict().items()))
            key = (begun, job.category, options.flip_test, options.p_cutoff, job.base.input_size)
            self.at_start = self.known.before(self.mark, job.test, key, lambda: self._score(job.test, skeleton))

    def further(self, split: Split, renamed: Mapping[str, str] | None = None) -> Scores:
        """Scores another split with the adapter that is attached.

        It is read as the target is, by each picture's own category or by the mean sentence; a category that is named
        for the target, and categories that are called otherwise in the adapter, are not read.

        Args:
            split: with the adapter's key points.
            renamed: categories of the split that are called otherwise in the adapter.
        """
        job, options = self.job, self.job.recipe.evaluate
        category = None if isinstance(options.category, str) and options.category != "own" else job.category
        category = None if renamed else category

        def score() -> Scores:
            return score_split(
                job.base, split, skeleton=job.adapter.skeleton, category=category, flip_test=options.flip_test,
                batch_size=options.batch_size, p_cutoff=options.p_cutoff,
            )  # fmt: skip

        if self.known is None or callable(category):
            return score()
        state = hash_tensors(sorted(job.adapter.state_dict().items()))
        key = (state, category, options.flip_test, options.p_cutoff, job.base.input_size)
        return self.known.before(self.mark, split, key, score)

    def on(self) -> None:
        """Scores with the adapter attached."""
        for split, measured in self._sides():
            if split is not None and _is_predicted(split, self.job.adapter.skeleton):
                measured.after_on = self._score(split, self.job.adapter.skeleton)
        self.shared.on({"target": self.target.after_on, "source": self.source.after_on})

    def whole_change(self) -> None:
        """Scores target and source with the adapter attached, which has its whole change for a while."""
        for name, split in (("target", self.job.test), ("source", self.job.source)):
            if split is not None and _is_predicted(split, self.job.adapter.skeleton):
                self.whole[name] = self._score(split, self.job.adapter.skeleton)

    def off(self, mark: str) -> None:
        """Scores the base again, whose fingerprint now is ``mark``; further domains are not scored again."""
        for split, measured in self._sides()[:2]:
            if split is None or measured.before is None:
                continue
            if self._is_as_before(split, measured.before, mark):
                measured.after_off = measured.before
            else:
                measured.after_off = self._score(split, self.job.base.skeleton)

    def headlines(self, *when: str) -> dict[str, float]:
        """Returns the scores of some of before, after_on and after_off: ``target after_on pck@0.2`` to a number."""
        found: dict[str, float] = {}
        for side, measured in (("target", self.target), ("source", self.source)):
            for name in when:
                scores: Scores | None = getattr(measured, name)
                values = {} if scores is None else scores.headline()
                found |= {f"{side} {name} {score}": v for score, v in values.items() if type(v) in (int, float)}
        return found

    @property
    def is_identical(self) -> bool | None:
        """True if the source's predictions are bit for bit those of before; None where there is no source."""
        before, after = self.source.before, self.source.after_off
        return None if before is None or after is None else _same(before, after, len(before.keypoints))

    def reasons(self) -> dict[str, str]:
        """Returns why scores are missing: ``target.before`` or ``target.after_on.ap`` to a sentence."""
        job = self.job
        found: dict[str, str] = {}
        for name, split, measured in (("target", job.test, self.target), ("source", job.source, self.source)):
            if split is None:
                found[name] = job.missing_source
                continue
            if not _is_predicted(split, job.base.skeleton):
                words = f"the base does not know these key points ({_first(split.table.skeleton)})"
                found |= {f"{name}.{when}": words for when in ("before", "after_off")}
            if not _is_predicted(split, job.adapter.skeleton):
                found[f"{name}.after_on"] = f"the adapter predicts other key points ({_first(job.adapter.skeleton)})"
            for when, scores in vars(measured).items():
                missing = {} if scores is None else scores.values.get("reasons", {})
                found |= {f"{name}.{when}.{score}": why for score, why in missing.items()}
        return found

    def _once(self, split: Split) -> Scores:
        skeleton, options = self.job.base.skeleton, self.job.recipe.evaluate
        if self.known is None:
            return self._score(split, skeleton)
        # the fingerprint is that of the weights alone, and answers differ with the input size
        key = (options.flip_test, options.p_cutoff, self.job.base.input_size)
        return self.known.before(self.mark, split, key, lambda: self._score(split, skeleton))

    def _is_as_before(self, split: Split, before: Scores, mark: str) -> bool:
        """Compares fingerprints and the predictions for some instances; False where all must be scored again."""
        if self.known is None or mark != self.mark or isinstance(split.table, MixedTable):
            return False
        some = split.first(min(CHECKED, self.job.recipe.evaluate.batch_size, len(split.table)))
        found = self._score(some, self.job.base.skeleton)
        if split is self.job.source:
            self.off_checked = len(some.table)
        return _same(before, found, len(some.table))

    def _score(self, split: Split, skeleton: Skeleton) -> Scores:
        job, options = self.job, self.job.recipe.evaluate
        # the source and the further domains are no category of the target domain: they get the mean sentence
        is_read = attached(job.base) and split is job.test
        return score_split(
            job.base, split, skeleton=skeleton, category=job.category if is_read else None, flip_test=options.flip_test,
            batch_size=options.batch_size, p_cutoff=options.p_cutoff,
        )  # fmt: skip


def _first(skeleton: Skeleton) -> str:
    names = skeleton.keypoints
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _is_predicted(split: Split, skeleton: Skeleton) -> bool:
    return split.table.skeleton.keypoints == skeleton.keypoints


def _same(one: Scores, other: Scores, count: int) -> bool:
    """Returns True if the first ``count`` predictions are the same bits."""
    pairs = ((one.keypoints, other.keypoints), (one.scores, other.scores))
    return all(np.array_equal(a[:count], b[:count]) for a, b in pairs)
