"""The order of the pictures: each once an epoch, or by shares; the same for any number of processes."""

from collections import Counter

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard

from lvtune.training.sampler import EpochSampler, MixSampler, make_sampler

GROUPS = [(1.0, np.arange(0, 7)), (2.0, np.arange(7, 40)), (1.0, np.arange(40, 100))]


def epochs(sampler, count):
    for epoch in range(count):
        sampler.set_epoch(epoch)
        yield [item for batch in sampler for item in batch]


def test_without_shares_each_is_there_once():
    for order in epochs(make_sampler(range(20), 5, seed=1), 3):
        assert sorted(order) == list(range(20))


def test_shares_hold_in_every_epoch_and_all_are_seen_in_time():
    sampler = MixSampler(GROUPS, 10, seed=0)
    assert sampler.counts() == [25, 50, 25] and len(sampler) == 10
    total = Counter()
    orders = list(epochs(sampler, 6))
    for order in orders:
        group = Counter(np.digitize(order, [7, 40]).tolist())
        assert [group[i] for i in range(3)] == [25, 50, 25]
        total.update(order)
    # 6 epochs of 25 are 150: 21 or 22 times each of the first 7, 2 or 3 times each of the last 60
    for low, high, counts in ((0, 7, {21, 22}), (7, 40, {9, 10}), (40, 100, {2, 3})):
        assert {total[item] for item in range(low, high)} == counts
    assert orders[0] != orders[1]
    assert list(epochs(MixSampler(GROUPS, 10, seed=0), 6)) == orders
    assert next(epochs(MixSampler(GROUPS, 10, seed=1), 1)) != orders[0]


def test_an_epoch_needs_nothing_of_those_before():
    whole, late = MixSampler(GROUPS, 10, seed=3), MixSampler(GROUPS, 10, seed=3)
    late.set_epoch(4)
    assert [item for batch in late for item in batch] == list(epochs(whole, 5))[4]


@pytest.mark.parametrize("make", [lambda: EpochSampler(100, 10, 0), lambda: MixSampler(GROUPS, 10, 0)])
def test_processes_share_every_batch(make):
    shards = [list(BatchSamplerShard(make(), 2, i, split_batches=True)) for i in range(2)]
    for batch, *parts in zip(make(), *shards, strict=True):
        assert sorted(batch) == sorted(parts[0] + parts[1]) and len(parts[0]) == 5
