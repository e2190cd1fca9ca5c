"""Scores of target, source and further domains through a run: before, with the adapter on, and with it off again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.score_cache import ScoreCache
from lvtune.data.mixed import MixedTable
from lvtune.evaluation.split_scoring import score_split
from lvtune.evaluation.task import Scores
from lvtune.patcher.attaching import attached

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.domains import Split

CHECKED = 64
"""Persons by which runs that share their scores check that the base is as before."""


@dataclass
class Measured:
    """Scores of one split before, with the adapter on, and with it off again."""

    before: Scores | None = None
    after_on: Scores | None = None
    after_off: Scores | None = None


class Scoring:
    """All that is scored of one job.

    Args:
        job: prepared.
        mark: fingerprint of its base.
        known: what earlier runs worked out; with it the base's own scores are not worked out again, and that it is as
            before is checked by fingerprint and by the predictions of some persons.
    """

    def __init__(self, job: Job, mark: str, known: ScoreCache | None = None) -> None:
        self.job, self.mark, self.known = job, mark, known
        self.target, self.source = Measured(), Measured()
        self.also = {name: Measured() for name in job.also}
        self.off_checked: int | None = None
        """Persons of the source by which it was seen that the base is as before; None: by all."""
        if known is not None:
            known.share_samples(job)

    def _sides(self) -> list[tuple[Split | None, Measured]]:
        job = self.job
        pairs = [(job.test, self.target), (job.source, self.source)]
        return pairs + [(split, self.also[name]) for name, split in job.also.items()]

    def before(self) -> None:
        """Scores the base alone, where it predicts the split's key points."""
        for split, measured in self._sides():
            if _is_predicted(split, self.job.base.skeleton):
                measured.before = self._once(split)

    def on(self) -> None:
        """Scores with the adapter attached."""
        for split, measured in self._sides():
            if _is_predicted(split, self.job.adapter.skeleton):
                measured.after_on = self._score(split, self.job.adapter.skeleton)

    def off(self, mark: str) -> None:
        """Scores the base again, whose fingerprint now is ``mark``; further domains are not looked at again."""
        for split, measured in self._sides()[:2]:
            if measured.before is None:
                continue
            if self._is_as_before(split, measured.before, mark):
                measured.after_off = measured.before
            else:
                measured.after_off = self._score(split, self.job.base.skeleton)

    @property
    def is_identical(self) -> bool | None:
        """Whether the source's predictions are bit for bit those of before; None where there is no source."""
        before, after = self.source.before, self.source.after_off
        return None if before is None or after is None else _same(before, after, len(before.keypoints))

    def _once(self, split: Split) -> Scores:
        skeleton, flip = self.job.base.skeleton, self.job.recipe.evaluate.flip_test
        if self.known is None:
            return self._score(split, skeleton)
        # the fingerprint is of the weights alone, and answers differ with the input size
        mark = f"{self.mark} {self.job.base.input_size}"
        return self.known.before(mark, split, flip, lambda: self._score(split, skeleton))

    def _is_as_before(self, split: Split, before: Scores, mark: str) -> bool:
        """By fingerprint and some persons; False where that cannot be told, so that all are scored."""
        if self.known is None or mark != self.mark or isinstance(split.table, MixedTable):
            return False
        some = split.first(min(CHECKED, self.job.recipe.evaluate.batch_size, len(split.table)))
        found = self._score(some, self.job.base.skeleton)
        if split is self.job.source:
            self.off_checked = len(some.table)
        return _same(before, found, len(some.table))

    def _score(self, split: Split, skeleton: Any) -> Scores:
        job, options = self.job, self.job.recipe.evaluate
        # the source, and what is scored besides, is no category of the target domain: read with the mean sentence
        is_read = attached(job.base) and split is job.test
        return score_split(
            job.base, split, skeleton=skeleton, category=job.category if is_read else None, flip_test=options.flip_test,
            batch_size=options.batch_size,
        )  # fmt: skip


def _is_predicted(split: Split | None, skeleton: Any) -> bool:
    return split is not None and split.table.skeleton.keypoints == skeleton.keypoints


def _same(one: Scores, other: Scores, count: int) -> bool:
    """Whether the first ``count`` predictions are the same bits."""
    pairs = ((one.keypoints, other.keypoints), (one.scores, other.scores))
    return all(np.array_equal(a[:count], b[:count]) for a, b in pairs)
