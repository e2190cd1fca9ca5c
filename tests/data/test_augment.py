"""What is drawn at random for a crop."""

import numpy as np
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.data.augment import Augment, Color, jitter
from lvtune.data.skeletons import COCO_17, LSP_14, Skeleton

OFF = Augment(flip=0, half_body=0, shift_p=0, scale=(1, 1), rotate_p=0)
CENTER, SCALE = np.array([100.0, 120.0]), np.array([80.0, 160.0])


def person(skeleton, seen=None):
    points = np.random.default_rng(5).random((len(skeleton.keypoints), 3)) * 100 + 50
    points[:, 2] = 2
    if seen is not None:
        points[[i for i in range(len(points)) if i not in seen], 2] = 0
    return points


def draws(augment, count=4000, points=None, skeleton=LSP_14):
    points = person(skeleton) if points is None else points
    return [augment.sample(np.random.default_rng(i), points, CENTER, SCALE, skeleton) for i in range(count)]


def test_everything_off_changes_nothing():
    for drawn in draws(OFF, 20):
        np.testing.assert_array_equal(drawn.center, CENTER)
        np.testing.assert_array_equal(drawn.scale, SCALE)
        assert (drawn.rotation_deg, drawn.flip, drawn.color) == (0.0, False, Color())


def test_frequencies_and_ranges_of_the_published_recipe():
    every = draws(Augment(half_body=0))
    shift = np.array([(d.center - CENTER) / SCALE for d in every])
    factor = np.array([d.scale / SCALE for d in every])
    angle = np.array([d.rotation_deg for d in every])
    assert np.mean([d.flip for d in every]) == pytest.approx(0.5, abs=0.03)
    assert np.mean(shift[:, 0] != 0) == pytest.approx(0.3, abs=0.03)
    assert np.mean(angle != 0) == pytest.approx(0.6, abs=0.03)
    assert 0.12 < np.abs(shift).max() <= 0.16 and 70 < np.abs(angle).max() <= 80
    assert 0.5 <= factor.min() < 0.55 and 1.45 < factor.max() <= 1.5
    np.testing.assert_allclose(factor[:, 0], factor[:, 1])
    # A normal kept to ±1 has the standard deviation 0.5396.
    assert angle[angle != 0].std() == pytest.approx(80 * 0.5396, rel=0.05)


def test_a_seed_decides():
    one, same, other = (
        Augment().sample(np.random.default_rng(s), person(LSP_14), CENTER, SCALE, LSP_14) for s in (3, 3, 4)
    )
    assert one.rotation_deg == same.rotation_deg and (one.scale == same.scale).all()
    assert (one.scale != other.scale).all()


def test_options_do_not_disturb_each_other():
    """Turning one change off leaves the draws of the others as they were."""
    other = Augment(shift_p=0, flip=0, color=0.4)
    for full, part in zip(draws(Augment(), 50), draws(other, 50), strict=True):
        assert full.rotation_deg == part.rotation_deg and (full.scale == part.scale).all()


@pytest.mark.parametrize("skeleton", [LSP_14, COCO_17])
def test_half_body_is_the_box_of_one_half(skeleton):
    points = person(skeleton)
    augment = Augment(flip=0, half_body=1, shift_p=0, scale=(1, 1), rotate_p=0)
    every = draws(augment, 1000, points, skeleton)
    upper = points[list(skeleton.upper), :2]
    is_upper = np.array([np.allclose(d.center, upper.mean(0)) for d in every])
    assert is_upper.mean() == pytest.approx(0.7, abs=0.05)
    lower = np.delete(points, list(skeleton.upper), axis=0)[:, :2]
    for drawn, high in zip(every, is_upper, strict=True):
        half = upper if high else lower
        np.testing.assert_allclose(drawn.center, half.mean(0))
        np.testing.assert_allclose(drawn.scale, (half.max(0) - half.min(0)) * 1.5)


def test_half_body_spares_those_of_whom_little_is_seen():
    augment = Augment(flip=0, half_body=1, shift_p=0, scale=(1, 1), rotate_p=0)
    for drawn in draws(augment, 20, person(COCO_17, seen=range(8)), COCO_17):
        np.testing.assert_array_equal(drawn.center, CENTER)


def test_half_body_takes_the_half_that_is_seen():
    augment = Augment(flip=0, half_body=1, shift_p=0, scale=(1, 1), rotate_p=0)
    points = person(COCO_17, seen=(*COCO_17.upper, 12))
    for drawn in draws(augment, 20, points, COCO_17):
        np.testing.assert_allclose(drawn.center, points[list(COCO_17.upper), :2].mean(0))


def test_half_body_of_points_on_one_spot_still_has_an_area():
    points = np.tile([60.0, 60.0, 2.0], (17, 1))
    for drawn in draws(Augment(half_body=1), 20, points, COCO_17):
        assert (drawn.scale > 0).all()


def test_skeletons_without_halves():
    one = Skeleton("dot", ("tip",), (0.05,), ())
    for drawn in draws(Augment(half_body=1), 20, np.array([[5.0, 5.0, 2.0]]), one):
        assert np.isfinite(drawn.center).all()
    no_upper = Skeleton("hand", tuple(f"joint_{i}" for i in range(21)), (0.05,) * 21, ())
    points = person(no_upper)
    drawn = draws(Augment(flip=0, half_body=1, shift_p=0, scale=(1, 1)), 1, points, no_upper)[0]
    np.testing.assert_allclose(drawn.center, points[:, :2].mean(0))


def test_colours_jitter_about_grey():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert jitter(image, Color()) is image
    grey = jitter(image, Color(saturation=0.0))
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 1] == grey[..., 2]).all()
    assert jitter(image, Color(brightness=0.5)).mean() == pytest.approx(image.mean() / 2, abs=1)
    assert jitter(image, Color(contrast=0.0)).std() < 1
    assert jitter(image, Color(2.0, 2.0, 2.0)).max() == 255
    colors = [d.color for d in draws(Augment(color=0.3), 300)]
    assert 0.7 <= np.min(colors) < 0.72 and 1.28 < np.max(colors) <= 1.3


@pytest.mark.parametrize(
    "wrong",
    [
        {"flip": 1.5},
        {"color": -0.1},
        {"scale": (1.5, 0.5)},
        {"rotate": -5},
        {"scale": (0, 1)},
        {"shift_p": float("nan")},
    ],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(LvtuneError, match=f"augment.{next(iter(wrong))}|augment.shift"):
        Augment(**wrong)
