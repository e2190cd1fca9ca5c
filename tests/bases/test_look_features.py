"""What a picture looks like to the frozen base: of any family, whatever is attached, from any thread."""

import threading

import numpy as np
import pyramids
import pytest
import torch
from tiny import make_adapter, snapshot, tiny_base, tiny_pixels

from lvtune.bases.look_features import crop_of, features_of_pictures, look_features, look_layer, whole_picture
from lvtune.patcher.attaching import attach


def test_means_and_spreads_of_the_block_that_is_named():
    base, pixels = tiny_base(), tiny_pixels(3)
    kept = []
    hook = base.blocks[0].layer.register_forward_hook(lambda module, args, output: kept.append(output))
    base(pixels)
    hook.remove()
    tokens = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
    found = look_features(base, pixels)
    assert look_layer(base) == "blocks 1 of 3"
    assert found.shape == (3, 2 * base.width) and found.dtype == float
    assert np.allclose(found[:, : base.width], tokens.mean(1).numpy(), atol=1e-5)
    assert np.allclose(found[:, base.width :], tokens.std(1).numpy(), atol=1e-5)


def test_larger_encoders_are_read_at_two_places():
    base = tiny_base(layers=12)
    assert look_layer(base) == "blocks 3, 5 of 12"
    assert look_features(base, tiny_pixels(2)).shape == (2, 4 * base.width)


def test_no_adapter_acts_and_nothing_stays_behind():
    base, pixels = tiny_base(), tiny_pixels(2)
    before, bare = snapshot(base), look_features(base, pixels)
    with attach(base, make_adapter("lora", base, stirred=0.5), "on"):
        assert np.array_equal(look_features(base, pixels), bare)
    assert snapshot(base) == before


@pytest.mark.parametrize("family", pyramids.FAMILIES)
def test_every_family_has_one_row_for_each_picture(family):
    base = pyramids.tiny(family)
    pixels = torch.randn(3, 3, *base.input_size, generator=torch.Generator().manual_seed(0))
    found, single = look_features(base, pixels), look_features(base, pixels[1:2])
    assert found.shape[0] == 3 and np.isfinite(found).all() and found[0].std() > 0
    assert np.allclose(found[1], single[0], atol=1e-4)  # a picture's features are its own


def test_another_thread_that_calls_the_base_is_not_seen():
    base, pixels = tiny_base(), tiny_pixels(2)
    expected, stop = look_features(base, pixels), threading.Event()

    def disturb():
        while not stop.is_set():
            base(tiny_pixels(1, seed=9))

    other = threading.Thread(target=disturb)
    other.start()
    try:
        assert all(np.array_equal(look_features(base, pixels), expected) for _ in range(10))
    finally:
        stop.set()
        other.join()


def test_whole_pictures_of_any_size_and_crops():
    base, rng = tiny_base(), np.random.default_rng(0)
    pictures = [rng.integers(0, 255, size, np.uint8) for size in ((64, 48, 3), (10, 90, 3), (300, 200, 3))]
    assert whole_picture(base, pictures[2]).shape == (3, *base.input_size)
    found = features_of_pictures(base, pictures, at_once=2)
    assert found.shape == (3, 2 * base.width)
    assert np.allclose(found[1], features_of_pictures(base, pictures[1:2])[0], atol=1e-5)
    same = crop_of(base, pictures[0], np.array([0, 0, 48, 64]), padding=1.0)
    assert np.array_equal(same, whole_picture(base, pictures[0]))
