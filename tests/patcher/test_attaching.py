"""Who acts where nobody chooses; batches of none; threads that attach; copies that cannot be had."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pyramids
import pytest
import torch
from tiny import make_adapter, snapshot, tiny_base, tiny_pixels

from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach, attached, detach


def test_attached_without_becoming_active():
    base, pixels = tiny_base(), tiny_pixels(2)
    before, bare = snapshot(base), base(pixels)
    with attach(base, make_adapter("norm", base, stirred=0.1, seed=1), "quiet", active=False):
        assert torch.equal(base(pixels), bare)
        quiet = base(pixels, adapters="quiet")
        assert not torch.equal(quiet, bare)
        with attach(base, make_adapter("lora", base, stirred=0.1), "loud"):
            loud = base(pixels)
            assert torch.equal(base(pixels, adapters="loud"), loud)
            attach(base, make_adapter("norm", base, stirred=0.1, seed=2), "quiet too", active=False)
            assert torch.equal(base(pixels), loud)
            assert list(attached(base)) == ["quiet", "loud", "quiet too"]
        assert torch.equal(base(pixels), bare)
        assert torch.equal(base(pixels, adapters="quiet"), quiet)
        detach(base, "quiet too")
    assert snapshot(base) == before


@torch.no_grad()
def test_a_batch_of_none():
    base = pyramids.tiny("resnet")
    pixels = pyramids.pixels(0)
    expected = base(pixels).shape
    attach(base, make_adapter("norm", base), "a")
    for choice in (..., "a", None, []):
        assert base(pixels, adapters=choice).shape == expected


def test_threads_may_attach_at_once():
    base = tiny_base()
    before = snapshot(base)
    made = [make_adapter("norm", base, seed=seed) for seed in range(8)]
    gate = threading.Barrier(8)

    def work(i):
        gate.wait()
        return attach(base, made[i], f"a{i}")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    assert sorted(attached(base)) == [f"a{i}" for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: one.detach(), found))
    assert snapshot(base) == before


def test_a_model_with_adapters_is_not_spread_over_devices():
    """Copies that torch's DataParallel makes would call the first device's modules."""
    base = tiny_base()
    refused = pytest.raises(LvtuneError, match=r"DataParallel.*DistributedDataParallel")
    with attach(base, make_adapter("norm", base), "a"), refused:
        base.model._replicate_for_data_parallel()
    base.model._replicate_for_data_parallel()
