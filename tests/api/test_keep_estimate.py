"""What remains of the source score is estimated from the score and from the points that moved, each by its weight."""

from dataclasses import replace

import numpy as np
import pytest

from lvtune.api.keep_estimate import EXACT, GAIN, LOSS, Moved, deviation_of_ratio, estimate, moved_points
from lvtune.domains import get_domain

MANY = Moved(0.1, 10**9)


def test_the_score_of_many_pictures_counts_and_that_of_few_does_not():
    expected = 1 + GAIN - LOSS * 0.1
    many, few = estimate(0.99, 1e-5, MANY), estimate(0.99, 10.0, MANY)
    assert many.share == pytest.approx(0.99, abs=1e-5) and many.deviation == pytest.approx(1e-5, rel=0.01)
    assert few.share == pytest.approx(expected, abs=1e-4) and few.deviation == pytest.approx(EXACT, rel=0.01)
    both = estimate(0.99, EXACT, MANY)
    assert both.share == pytest.approx((0.99 + expected) / 2) and both.deviation == pytest.approx(EXACT / 2**0.5)


def test_without_points_that_moved_the_score_alone_counts():
    assert estimate(0.97, 0.02, None).share == 0.97 and estimate(0.97, 0.02, None).deviation == 0.02


def test_the_more_points_move_the_less_is_expected():
    found = [estimate(1.0, 0.03, Moved(moved, 900)).share for moved in (0.0, 0.02, 0.1, 0.5)]
    assert found == sorted(found, reverse=True) and len(set(found)) == 4


@pytest.mark.parametrize("deviation", [1e-5, 10.0])  # the score alone counts; the points alone
def test_a_longer_run_moves_more_points_and_keeps_less(deviation):
    plain, longer = (estimate(0.99, deviation, MANY, growth) for growth in (1.0, 1.25))
    assert longer.share == pytest.approx(plain.share - LOSS * 0.025, abs=1e-4)
    assert estimate(0.97, 0.02, None, 1.25).share == 0.97
    assert np.isfinite(estimate(0.5, 0.02, Moved(0.95, 100), 1.25).deviation)  # more than all cannot move


def test_the_fewer_points_the_less_exact():
    few, many = (estimate(1.0, 0.03, Moved(0.05, points)).deviation for points in (100, 1000))
    assert many < few < 0.03


def test_the_surer_the_less_is_promised():
    found = [estimate(1.0, 0.03, Moved(0.05, 900)).at_least(sure) for sure in (0.5, 0.7, 0.9, 0.99)]
    assert found[0] == estimate(1.0, 0.03, Moved(0.05, 900)).share and found == sorted(found, reverse=True)
    assert found[2] == pytest.approx(found[0] - 1.2816 * estimate(1.0, 0.03, Moved(0.05, 900)).deviation, rel=1e-3)


def test_the_deviation_of_a_ratio_falls_with_the_number_of_pictures():
    base = np.array([10.0, 8.0, 12.0, 9.0])
    wobbling = base + np.array([2.0, -2.0, 1.0, -1.0])
    assert deviation_of_ratio(base, base) == 0
    assert deviation_of_ratio(wobbling, base) == pytest.approx((10 * 4 / 3) ** 0.5 / 39, rel=0.05)
    assert deviation_of_ratio(np.tile(wobbling, 25), np.tile(base, 25)) < deviation_of_ratio(wobbling, base) / 4
    assert deviation_of_ratio(np.zeros(0), np.zeros(0)) == 0


@pytest.fixture(scope="module")
def split():
    found = get_domain("demo-art").open("train")
    return replace(found, table=found.table.select(range(6)), views=(), items=None)


def test_labelled_points_that_move_far_are_counted(split):
    labels = split.table.column("keypoints")
    before, visible = labels[..., :2] + 3.0, labels[..., 2] > 0
    skeleton = split.table.skeleton
    assert moved_points(split, skeleton, before, before) == (0, int(visible.sum()))
    after = before.copy()
    after[0, visible[0]] += 1000.0
    rest = moved_points(split, skeleton, before, after)
    assert rest.share == pytest.approx(visible[0].sum() / visible.sum())
    after[~visible] += 1000.0  # nobody knows where these are
    assert moved_points(split, skeleton, before, after) == rest
    assert moved_points(split, skeleton, before, before + 1.0).share == 0  # less than the threshold


def test_where_no_point_is_labelled_none_moved(split):
    class Unlabelled:
        def __getattr__(self, name):
            return getattr(split.table, name)

        def __len__(self):
            return len(split.table)

        def column(self, name):
            found = split.table.column(name)
            return found * np.array([1.0, 1.0, 0.0]) if name == "keypoints" else found

    points = split.table.column("keypoints")[..., :2]
    assert moved_points(replace(split, table=Unlabelled()), split.table.skeleton, points, points) is None
