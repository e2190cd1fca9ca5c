"""What labels say of the instances: how they are turned, how large they are, whether they have sides."""

from types import SimpleNamespace

import numpy as np
import pytest

from lvtune.data.label_statistics import ALL_ROUND, label_statistics, mirrors_alike, turn_spread
from lvtune.data.skeletons import Skeleton

SIDED = Skeleton("mouse", ("snout", "left_ear", "right_ear", "tail"), (0.1,) * 4)
PLAIN = Skeleton("joystick", ("tip", "knob", "paw", "base"), (0.1,) * 4)
SHAPE = np.array([[0.0, -40], [-12, -25], [12, -25], [0, 45]])


def turned(degrees, noise=0.0, seed=0):
    """(N, K, 2): the shape turned by each angle, at places of its own."""
    rng = np.random.default_rng(seed)
    angles = np.radians(degrees)
    cos, sin = np.cos(angles), np.sin(angles)
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    shapes = SHAPE @ rotation.transpose(0, 2, 1) * rng.uniform(0.7, 1.4, (len(angles), 1, 1))
    return shapes + rng.uniform(100, 400, (len(angles), 1, 2)) + noise * rng.standard_normal(shapes.shape)


def table(points, skeleton=SIDED, size=(640, 480), whole=False):
    keypoints = np.concatenate([np.nan_to_num(points), np.isfinite(points).all(-1, keepdims=True) * 2.0], -1)
    low, high = np.nanmin(points, 1), np.nanmax(points, 1)
    box = np.concatenate([low, high - low], -1)
    if whole:
        box[:] = (0, 0, *size)
    columns = {"keypoints": keypoints, "bbox": box, "width": np.full(len(box), size[0])}
    columns["height"] = np.full(len(box), size[1])

    class Table:
        def __len__(self):
            return len(box)

        def column(self, name):
            return columns[name]

    found = Table()
    found.skeleton = skeleton
    return found


def test_the_spread_is_that_of_the_angles():
    rng = np.random.default_rng(1)
    degrees = rng.uniform(-20, 20, 400)
    expected = np.percentile(np.abs(degrees), 95)
    assert turn_spread(turned(degrees)) == pytest.approx(expected, abs=1.5)
    assert turn_spread(turned(degrees + 130)) == pytest.approx(expected, abs=1.5)  # the mean direction is no matter
    assert turn_spread(turned(degrees, noise=1.0)) == pytest.approx(expected, abs=4)


def test_all_round_is_told_from_one_way():
    rng = np.random.default_rng(2)
    assert turn_spread(turned(rng.uniform(-180, 180, 200))) > 2 * ALL_ROUND
    assert turn_spread(turned(rng.normal(0, 4, 200), noise=1.0)) < 15


def test_points_that_are_not_labelled_do_not_count():
    degrees = np.random.default_rng(3).uniform(-10, 10, 200)
    points = turned(degrees)
    points[::3, 3] = np.nan
    points[1::3, 0] = np.nan
    assert turn_spread(points) == pytest.approx(np.percentile(np.abs(degrees), 95), abs=3)


def test_too_few_points_have_no_direction():
    one = turned(np.array([0.0, 90.0, 30.0]))
    one[:, 1:] = np.nan
    assert turn_spread(one) == 0.0 and turn_spread(turned(np.array([45.0]))) == 0.0


def test_a_table_of_boxes_around_points():
    points = turned(np.zeros(50))
    found = label_statistics(table(points))
    assert (found.instances, found.keypoints, found.has_sides, found.is_whole_frame) == (50, 4, True, False)
    extent = np.median(points.max(1) - points.min(1), axis=0)
    assert found.crop == pytest.approx(tuple(1.25 * extent))
    distance = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1) + 1e9 * np.eye(4)
    assert found.crowding == pytest.approx(np.median(distance.min(-1)))


def test_whole_frames_and_names_without_sides():
    found = label_statistics(table(turned(np.zeros(20)), PLAIN, whole=True))
    assert found.is_whole_frame and not found.has_sides and found.crop == (800, 600)


def test_one_point_has_no_neighbour():
    points = turned(np.zeros(5))[:, :1]
    skeleton = SimpleNamespace(mirrors=False, flip_index=(0,))
    found = label_statistics(table(np.concatenate([points, points + 1], 0)[:, :1], skeleton, whole=True))
    assert found.crowding == 0.0 and found.turn == 0.0


FLIP = (0, 2, 1, 3)
WALKER = np.array([[60.0, -5], [35, 30], [30, 28], [-50, -12]])  # from the side: its head is always on the right


def test_what_looks_like_its_mirror_image_may_be_mirrored():
    rng = np.random.default_rng(4)
    upright = np.array([[0.0, -40], [-12, -25], [12, -25], [0, 45]]) + rng.normal(0, 3, (100, 4, 2))
    assert mirrors_alike(upright, FLIP)
    assert mirrors_alike(turned(rng.uniform(-180, 180, 200)), FLIP)  # from above, facing every way


def test_what_always_walks_to_the_right_may_not():
    rng = np.random.default_rng(5)
    walking = WALKER + rng.normal(0, 4, (100, 4, 2)) + rng.uniform(0, 200, (100, 1, 2))
    assert not mirrors_alike(walking, FLIP)
    both = np.where(rng.random((100, 1, 1)) < 0.5, walking, walking[:, FLIP] * [-1, 1] + [400, 0])
    assert turn_spread(both) > ALL_ROUND and mirrors_alike(both, FLIP)


def test_two_views_in_one_frame_may_not_be_mirrored():
    rng = np.random.default_rng(6)
    frame = np.array([[60.0, -80], [40, -60], [-30, -62], [-50, -85], [70, 75], [35, 95], [-20, 60], [-65, 90]])
    frames = frame + rng.normal(0, 6, (80, 8, 2))
    frames[::4, 2] = np.nan
    assert not mirrors_alike(frames, (0, 2, 1, 3, 4, 6, 5, 7))


def test_too_few_instances_say_nothing():
    assert mirrors_alike(turned(np.zeros(1)), FLIP)


def test_few_labels_may_not_show_every_direction():
    degrees = np.linspace(-34, 34, 18)
    few, many = (label_statistics(table(turned(some))) for some in (degrees, np.tile(degrees, 5)))
    assert few.turn == pytest.approx(many.turn, abs=2) and few.turn < ALL_ROUND
    assert few.turn_of_all == 2 * few.turn >= ALL_ROUND and many.turn_of_all == many.turn
    # their mirror images, all turned to one side, are seen then too; who stands one way stays so
    one_way = turned(np.linspace(0, 68, 18))
    assert mirrors_alike(one_way, FLIP) and not mirrors_alike(np.tile(one_way, (5, 1, 1)), FLIP)
    assert label_statistics(table(turned(degrees)), is_known=True).turn_of_all == few.turn
    assert not mirrors_alike(one_way, FLIP, is_known=True)
    still = label_statistics(table(turned(np.linspace(-4, 4, 10))))
    assert still.turn_of_all < 10
