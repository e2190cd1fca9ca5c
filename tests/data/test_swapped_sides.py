"""Left and right that seem swapped: named where a set has rules, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from own_files import MOUSE, mice

from lvtune.data.skeletons import Skeleton
from lvtune.data.swapped_sides import find_swapped

SKELETON = Skeleton("mouse", tuple(MOUSE), (0.1,) * len(MOUSE))


def bodies(count=30, seed=0):
    return np.array([np.reshape(item["keypoints"], (-1, 3)) for item in mice(count, seed)["annotations"]])


def swapped(points, row, *pairs):
    points = points.copy()
    for left, right in pairs:
        points[row, [left, right]] = points[row, [right, left]]
    return points


def test_sound_bodies_are_not_suspected():
    for seed in range(5):
        assert find_swapped(bodies(seed=seed), SKELETON) == []


@pytest.mark.parametrize("pairs", [((1, 2),), ((3, 4),), ((1, 2), (3, 4))])
@pytest.mark.parametrize("row", [0, 17])
def test_swapped_pairs_are_named(pairs, row):
    (found,) = find_swapped(swapped(bodies(), row, *pairs), SKELETON)
    assert (found.row, found.pairs) == (row, pairs)


def test_one_pair_is_judged_by_the_midline():
    alone = Skeleton("head", ("nose", "left_ear", "right_ear", "tail"), (0.1,) * 4)
    points = bodies()[:, [0, 1, 2, 5]]
    assert find_swapped(points, alone) == []
    assert [s.row for s in find_swapped(swapped(points, 4, (1, 2)), alone)] == [4]


def test_bodies_seen_from_both_sides_are_not_suspected():
    """People that face the camera or turn their backs: half of them have left on the left."""
    points = bodies()
    for row in range(0, 30, 2):
        points = swapped(points, row, (1, 2), (3, 4))
    assert find_swapped(points, SKELETON) == []


@pytest.mark.parametrize("names", [tuple("ABCDEF"), tuple(str(i) for i in range(6))])
def test_without_pairs_or_with_few_bodies_nothing_is_said(names):
    assert find_swapped(swapped(bodies(), 0, (1, 2)), Skeleton("x", names, (0.1,) * 6)) == []
    assert find_swapped(swapped(bodies(6), 0, (1, 2)), SKELETON) == []


def test_unlabelled_points_do_not_count():
    points = swapped(bodies(), 3, (1, 2))
    points[3, 1] = 0
    assert find_swapped(points, SKELETON) == []
