"""The order of the pictures: a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class EpochSampler(Sampler[list[int]]):
    """Shuffled batches of indices; every batch is full where there is enough for one.

    Args:
        count: number of items.
        batch_size: over all processes together; Accelerate splits each batch among them.
        seed: of the order.
    """

    drop_last = True

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed, self.epoch = count, min(batch_size, count), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of ``epoch``."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 7_919 + self.epoch)
        order = torch.randperm(self.count, generator=generator).tolist()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[start : start + self.batch_size]
