"""The ranking of pictures: unsure ones first, each unlike those before it."""

import numpy as np
import pytest

from lvtune.evaluation.picture_choice import joined, rank_pictures, ranks


def places(*args, **options):
    return [one.place for one in rank_pictures(*args, **options)]


def test_ranks_are_shares_and_equal_values_share_one():
    assert ranks(np.array([3.0, 1.0, 2.0])).tolist() == [1.0, 0.0, 0.5]
    assert ranks(np.array([1.0, 1.0])).tolist() == [0.5, 0.5] and ranks(np.array([4.0])).tolist() == [0.0]


def test_several_measures_are_one_and_their_units_do_not_matter():
    one, other = np.array([0.1, 0.2, 0.3]), np.array([1e6, 3e6, 2e6])
    assert joined([one, other]).tolist() == joined([1000 * one, other / 1e9]).tolist()
    assert joined([one, one]).tolist() == [0.0, 0.5, 1.0]


def test_the_most_unsure_comes_first_and_its_twin_late():
    features = np.array([[1.0, 0.0], [1.0, 0.001], [0.0, 1.0], [-1.0, 0.0]])
    uncertainty = np.array([1.0, 0.99, 0.6, 0.5])
    assert places(uncertainty, features, 4)[0] == 0 and places(uncertainty, features, 4)[-1] == 1
    assert places(uncertainty, features, 4, weight=1.0) == [0, 1, 2, 3]  # uncertainty alone
    assert set(places(uncertainty, features, 3, weight=0.0)) == {0, 2, 3}  # diversity alone


def test_what_is_labelled_is_not_asked_for_again():
    features = np.array([[1.0, 0.0], [0.0, 1.0]])
    uncertainty = np.array([1.0, 0.7])
    assert places(uncertainty, features, 1) == [0]
    assert places(uncertainty, features, 1, labelled=np.array([[2.0, 0.0]])) == [1]


@pytest.mark.parametrize("count", [3, 9])
def test_each_picture_comes_once_and_there_are_no_more_than_there_are(count):
    rng = np.random.default_rng(0)
    found = rank_pictures(rng.random(5), rng.standard_normal((5, 3)), count)
    assert len({one.place for one in found}) == len(found) == min(count, 5)
    assert all(0 <= one.uncertainty <= 1 and 0 <= one.distance <= 2 for one in found)
