"""The order of the pictures; it depends on seed and epoch only."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass

import torch
from torch.utils.data import Sampler


class EpochSampler(Sampler[list[int]]):
    """Yields shuffled batches of indices; every batch is full, if there are enough items for one.

    Args:
        count: number of items.
        batch_size: of all processes together; :class:`PartSampler` divides each batch among them.
        seed: of the order.
    """

    drop_last = True

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed, self.epoch = count, min(batch_size, count), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, and with it the order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.batch_size

    def order(self) -> list[int]:
        """Returns the ``count`` items of the epoch."""
        return _shuffled(self.count, self.seed * 7_919 + self.epoch).tolist()

    def __iter__(self) -> Iterator[list[int]]:
        order = self.order()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[start : start + self.batch_size]


class MixSampler(EpochSampler):
    """Draws each group with its share; an epoch has as many items as there are in all.

    Each group is drawn in passes over all its items, and an epoch goes on where the last one stopped. So every item of
    a large group comes in time, and the items of a small group are repeated equally often, up to one.

    Args:
        groups: (share, items) of each group.
        batch_size: as for :class:`EpochSampler`.
        seed: of the order.
    """

    def __init__(self, groups: Sequence[tuple[float, Sequence[int]]], batch_size: int, seed: int) -> None:
        self.groups = [(share, torch.as_tensor(items)) for share, items in groups]
        super().__init__(sum(len(items) for _, items in self.groups), batch_size, seed)

    def counts(self) -> list[int]:
        """Returns the number of items of each group in an epoch; they add up to ``count``."""
        whole = sum(share for share, _ in self.groups)
        ends = [round(self.count * sum(s for s, _ in self.groups[: i + 1]) / whole) for i in range(len(self.groups))]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]

    def order(self) -> list[int]:
        """The ``count`` items of the epoch."""
        drawn = []
        for number, ((_, items), count) in enumerate(zip(self.groups, self.counts(), strict=True)):
            start, size = self.epoch * count, len(items)
            first, last = start // size, (start + count - 1) // size
            seeds = ((self.seed * 7_919 + one) * 104_729 + number for one in range(first, last + 1))
            passes = torch.cat([items[_shuffled(size, seed)] for seed in seeds])
            drawn.append(passes[start - first * size :][:count])
        mixed = torch.cat(drawn)
        return mixed[_shuffled(len(mixed), self.seed * 7_919 + self.epoch)].tolist()


def _shuffled(count: int, seed: int) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def make_sampler(data: Sized, batch_size: int, seed: int) -> EpochSampler:
    """Makes the sampler of a data set: a :class:`MixSampler` if it has ``groups``, else an :class:`EpochSampler`."""
    groups = getattr(data, "groups", None)
    return EpochSampler(len(data), batch_size, seed) if groups is None else MixSampler(groups, batch_size, seed)


@dataclass(frozen=True)
class Division:
    """How the batch of a step is divided: among processes, and by each into micro-batches.

    Args:
        size: samples of the step, of all processes together.
        processes: number of processes.
        rank: of this one.
        accumulate: micro-batches of each process.
    """

    size: int
    processes: int = 1
    rank: int = 0
    accumulate: int = 1

    @property
    def is_whole(self) -> bool:
        """True if one process computes the step at once."""
        return self.processes * self.accumulate == 1

    def to_dict(self) -> dict[str, int]:
        """Returns ``pictures`` of a step, ``processes``, ``accumulate``, and ``at_once``, the largest part."""
        at_once = max(end - start for start, end in self.bounds)
        return {
            "pictures": self.size, "processes": self.processes, "accumulate": self.accumulate, "at_once": at_once,
        }  # fmt: skip

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First row and the row behind the last of each micro-batch of this process, as even as they can be."""
        parts = self.processes * self.accumulate
        edges = [self.size * i // parts for i in range(parts + 1)]
        first = self.rank * self.accumulate
        return list(itertools.pairwise(edges[first : first + self.accumulate + 1]))


class PartSampler(Sampler[list[int]]):
    """Yields the micro-batches of one process, step after step.

    Args:
        steps: the batches of all processes.
        division: of each.
    """

    def __init__(self, steps: EpochSampler, division: Division) -> None:
        self.steps, self.division = steps, division

    def __len__(self) -> int:
        return len(self.steps) * self.division.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        bounds = self.division.bounds
        for batch in self.steps:
            yield from (batch[start:end] for start, end in bounds)
