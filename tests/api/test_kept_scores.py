"""Scores of several runs' pictures together, and how far two scores of the same pictures differ by chance."""

import numpy as np
import pytest

from lvtune.api.keep_estimate import Moved, all_moved
from lvtune.api.kept_scores import KeptScore, chance_of_difference, together


def score(hits, points):
    hits = np.array(hits, float)
    value = 100 * hits.sum() / points if points else None
    return KeptScore(value, hits, np.zeros((len(hits), 2, 2)), points)


def test_scores_count_by_their_points():
    both = together([score([1, 2], 4), score([2], 2)])
    assert both.value == pytest.approx(100 * 5 / 6) and both.count == 6
    assert both.own.tolist() == [1, 2, 2] and both.points.shape == (3, 2, 2)
    assert together([score([1, 2], 4), score([0], 0)]).value == pytest.approx(75)
    assert together([score([0], 0), score([0], 0)]).value is None
    one = score([1], 2)
    assert together([one]) is one


def test_points_that_moved_count_by_their_number():
    assert all_moved([Moved(0.5, 10), None, Moved(0.0, 30)]) == (0.125, 40)
    assert all_moved([None]) is None


def test_the_chance_of_a_difference_is_that_of_drawing_the_pictures():
    random = np.random.default_rng(0)
    one, other = random.integers(0, 15, (2, 4000))
    differences = []
    for _ in range(400):
        drawn = random.integers(0, 4000, 4000)
        differences.append(100 * (one[drawn].sum() - other[drawn].sum()) / (14 * 4000))
    found = chance_of_difference(score(one, 14 * 4000), score(other, 14 * 4000))
    assert found == pytest.approx(np.std(differences), rel=0.1)
    assert chance_of_difference(score(one, 14 * 4000), score(one, 14 * 4000)) == 0
    assert chance_of_difference(score([1], 2), score([2], 2)) == 0, "one picture says nothing"
