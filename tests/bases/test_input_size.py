"""Input sizes: read from text, and chosen from boxes, points and directions."""

from dataclasses import replace

import pytest
from tiny import tiny_base

from lvtune.bases.base_registry import load_base
from lvtune.bases.input_size import LARGEST, choose_input_size, parse_size
from lvtune.core.errors import LvtuneError
from lvtune.data.label_statistics import LabelStatistics

LABELS = LabelStatistics(90, 4, True, True, (100.0, 130.0), 30.0, 20.0, False)


@pytest.mark.parametrize("text", ["256x192", "256 x 192", "256X192", "256×192", "256,192"])
def test_sizes_are_height_x_width(text):
    assert parse_size(text) == (256, 192)


def test_words_and_nonsense():
    assert parse_size("auto") is None and parse_size("own") is None
    for text in ("256", "large", "256x", "-256x192", "256x192x3"):
        with pytest.raises(LvtuneError, match="height x width"):
            parse_size(text)


@pytest.fixture(scope="module")
def base():
    return load_base("vitpose-ti")


@pytest.mark.parametrize(
    ("labels", "size"),
    [
        ({}, (128, 96)),  # no larger than the base's own: its own long side, in the aspect of the crops
        ({"crop": (90.0, 95.0)}, (128, 128)),
        ({"crop": (96.0, 183.0)}, (128, 96)),
        ({"crop": (270.0, 310.0)}, (208, 176)),  # 310 px / 1.5 = 207, in whole patches
        ({"crop": (270.0, 310.0), "turn": 90.0}, (208, 208)),  # whoever faces every way needs a square
        ({"crop": (300.0, 90.0)}, (144, 192)),  # no narrower than what the base has learnt, 3:4
        ({"crop": (2000.0, 2000.0)}, (256, 256)),
        ({"crop": (160.0, 160.0), "crowding": 10.0}, (160, 160)),  # ten pixels apart: the crop at its full size
        ({"crop": (160.0, 160.0), "crowding": 0.0}, (128, 128)),
    ],
)
def test_boxes_points_and_directions_decide(base, labels, size):
    found, decision = choose_input_size(base, replace(LABELS, **labels))
    assert found[0] % 16 == found[1] % 16 == 0 and found[0] * found[1] <= LARGEST
    assert found == size
    assert decision.what == "input size" and decision.value == f"{size[0]}x{size[1]}"


def test_a_base_of_one_size_keeps_it():
    base = load_base("hand3d-vit", "random")
    found, decision = choose_input_size(base, replace(LABELS, crop=(900.0, 900.0)))
    assert found == base.input_size and "own size alone" in decision.why


def test_a_large_base_keeps_at_least_its_own_size():
    base = tiny_base()
    base.set_input_size((320, 240))
    found, _ = choose_input_size(base, replace(LABELS, crop=(750.0, 1000.0)))
    assert found == (320, 240)
