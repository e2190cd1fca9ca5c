"""Shares samples and scores between runs on one base and one domain, so that each is computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils.data import Dataset

from lvtune.evaluation.inference import split_dataset
from lvtune.evaluation.task import Scores

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.bases.base import Base
    from lvtune.domains import Split

CACHED_BYTES = 1024**3
"""Largest size of the samples that one :class:`SampleCache` keeps."""


class SampleCache(Dataset):
    """Makes samples on the first access and keeps them, up to ``CACHED_BYTES`` in all."""

    def __init__(self, data: Any) -> None:
        self.data, self._left = data, CACHED_BYTES
        self._items: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, item: int) -> dict[str, Any]:
        if item in self._items:
            return self._items[item]
        sample = self.data[item]
        size = sum(value.nbytes for value in sample.values() if isinstance(value, Tensor))
        if size <= self._left:
            self._items[item] = sample
            self._left -= size
        return sample


class ScoreCache:
    """Samples of the splits scored, and the base's own scores; shared by runs in one process."""

    def __init__(self) -> None:
        self._samples: dict[Any, SampleCache] = {}
        self._scores: dict[Any, Scores] = {}

    def share_samples(self, job: Job) -> None:
        """Lets a job read the samples that an earlier one made."""
        job.test = self._shared(job.base, job.test)
        job.source = None if job.source is None else self._shared(job.base, job.source)
        job.also = {name: self._shared(job.base, split) for name, split in job.also.items()}

    def _shared(self, base: Base, split: Split) -> Split:
        key = (_key(split), base.input_size, base.mean, base.std)
        cached = self._samples.setdefault(key, SampleCache(split_dataset(base, split)))

        def samples(table: Any, **options: Any) -> Dataset:
            return cached if table is split.table else split_dataset(base, replace(split, table=table))

        return replace(split, samples=samples)

    def before(self, mark: str, split: Split, options: tuple[Any, ...], score: Callable[[], Scores]) -> Scores:
        """Returns the scores of a base whose fingerprint is ``mark``; ``score`` computes them on the first call.

        ``options`` are what the scores depend on beside the base: an adapter that is attached counts among them.
        """
        key = (mark, _key(split), options)
        if key not in self._scores:
            self._scores[key] = score()
        return self._scores[key]


def _key(split: Split) -> tuple[Any, ...]:
    return split.table.fingerprint, split.name, split.views, split.items
