"""The flip test: averaged with the mirrored picture where mirror pairs are known, and only there."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_base, tiny_pixels

from lvtune.data.skeletons import Skeleton
from lvtune.evaluation.inference import predict_heatmaps


def skeleton(*names, **more):
    return Skeleton("odd", names, (0.1,) * len(names), **more)


@pytest.mark.parametrize("names", [("0", "1", "2"), ("neck", "tail", "snout"), ("left_ear", "neck", "tail")])
def test_unknown_pairs_turn_the_flip_test_off(names):
    base, pixels = tiny_base(skeleton=skeleton(*names)), tiny_pixels(2)
    once = predict_heatmaps(base, pixels, flip_test=False)
    assert torch.equal(predict_heatmaps(base, pixels, flip_test=True), once)
    assert not torch.equal(predict_heatmaps(base, pixels, skeleton=skeleton(*names, flip_pairs=())), once)


def test_known_pairs_are_swapped():
    base, pixels = tiny_base(skeleton=skeleton("earL", "earR", "nose")), tiny_pixels(2)
    once, other = base(pixels).detach(), base(pixels.flip(-1)).detach().flip(-1)[:, [1, 0, 2]]
    torch.testing.assert_close(predict_heatmaps(base, pixels), (once + other) / 2)
