"""Pictures of a fitting size, and the lines beside them."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from demo_samples import pixels

import lvtune
from lvtune.demo.shown_poses import LARGEST, SMALLEST, drawn, meaning_of, sure_line


@pytest.mark.parametrize(("size", "longest"), [((40, 30), SMALLEST), ((900, 500), 900), ((100, 3000), LARGEST)])
def test_pictures_are_shown_in_a_size_that_can_be_seen(size, longest):
    image = pixels(size=size)
    shown = drawn(image, [])
    assert max(shown.shape[:2]) == longest
    assert shown.shape[0] / shown.shape[1] == pytest.approx(size[0] / size[1], rel=0.03)


def test_points_move_with_the_size_and_the_picture_stays_as_it_is():
    image, base = pixels(), tiny.tiny_base()
    before = image.copy()
    where = np.random.default_rng(0).uniform([10, 10], [110, 85], (17, 2))
    poses = [replace(lvtune.predict(image, base=base)[0], keypoints=where.copy(), scores=np.linspace(0, 1, 17))]
    shown = drawn(image, poses)
    assert np.array_equal(image, before) and np.array_equal(poses[0].keypoints, where)
    changed = np.argwhere((shown != drawn(image, [])).any(-1))
    ratio = shown.shape[0] / image.shape[0]
    sure = poses[0].scores >= 0.2  # the others are not drawn
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    x, y = where[sure].T * ratio
    assert np.allclose([left, top, right, bottom], [x.min(), y.min(), x.max(), y.max()], atol=20)


def test_the_lines_say_what_the_numbers_are():
    poses = lvtune.predict(pixels(), base=tiny.tiny_base())
    sure = int((poses[0].scores >= 0.2).sum())
    assert sure_line(poses).startswith(f"{sure} of 17 key points")
    assert "heatmap" in meaning_of(poses) and "probability" not in meaning_of(poses)
    sure_ones = [replace(poses[0], raw_scores=poses[0].scores)]
    assert "probability" in meaning_of(sure_ones) and "another scale" not in meaning_of(sure_ones, sure_ones)
    assert meaning_of(poses, sure_ones).startswith("Confidence, the base alone: the probability")
    assert "The base alone: the maximum" in meaning_of(sure_ones, poses)


def test_hands_in_space_are_drawn_flat():
    hands = lvtune.predict(pixels(size=(100, 100)), base="hand3d-vit")
    assert hands[0].xyz is not None and "heatmap" not in meaning_of(hands)
    assert drawn(pixels(size=(100, 100)), hands).shape == (SMALLEST, SMALLEST, 3)
