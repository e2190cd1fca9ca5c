"""What is known of answers without a label."""

import pytest
import torch
from tiny import TinyPictures, make_adapter, snapshot, tiny_base
from tiny_hands import TinyHands, tiny_hand_base

from lvtune.training.agreement import FARTHEST, _spread, answers_of, evenly


@pytest.mark.parametrize(("base", "data"), [(tiny_base(), TinyPictures(4)), (tiny_hand_base(), TinyHands(4))])
def test_every_picture_is_looked_at_and_nothing_changes(base, data):
    before, adapter = snapshot(base.model), make_adapter("lora", base, stirred=0.05)
    found = answers_of(base, adapter, data)
    count = len(base.skeleton.keypoints)
    assert found.points.shape == (4, count, 2) and found.apart.shape == found.peak.shape == (4, count)
    assert 0 < found.disagreement <= FARTHEST and found.peak.min() >= 0 and found.peak.max() <= 1
    assert snapshot(base.model) == before
    assert torch.equal(found.points, answers_of(base, adapter, data).points)
    bare = answers_of(base, None, data)
    assert not torch.equal(bare.peak, found.peak) and torch.equal(
        bare.peak, answers_of(base, make_adapter("lora", base), data).peak
    )


def test_a_wide_heatmap_has_a_large_spread():
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(12.0), indexing="ij")
    distance = (x - 6) ** 2 + (y - 8) ** 2
    maps = torch.stack([torch.exp(-distance / 2), torch.exp(-distance / 8), torch.zeros(16, 12)])[None]
    narrow, wide, empty = _spread(maps)[0].tolist()
    assert narrow == pytest.approx(2**0.5 / 16, rel=0.05) and wide > 1.8 * narrow and empty == 0


def test_places_are_evenly_spread_and_each_comes_once():
    assert list(evenly(10, 5)) == [0, 2, 4, 6, 8] and list(evenly(3, 64)) == [0, 1, 2]
