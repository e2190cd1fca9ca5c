"""Mean and interval over seeds."""

import pytest

from lvtune.evaluation.intervals import Spread, difference, spread_of, t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 4, 9, 30, 31, 50, 200])
def test_quantiles_are_those_of_scipy(freedom):
    stats = pytest.importorskip("scipy.stats")
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-4)


def test_three_runs_by_hand():
    # mean 2, standard deviation 1, 4.3027 / sqrt(3)
    assert spread_of([1.0, 2.0, 3.0]) == Spread(2.0, pytest.approx(2.48416, abs=1e-5), 3)


def test_one_run_has_no_interval_and_a_lack_no_mean():
    assert spread_of([5.0]) == Spread(5.0, None, 1)
    assert spread_of([]) is None and spread_of([1.0, None]) is None


def test_differences_are_taken_seed_by_seed():
    """Seeds that differ much, methods that differ by the same in each: nothing is uncertain about that."""
    found = difference({0: 11.0, 1: 21.0, 2: 31.0, 7: 99.0}, {2: 30.0, 1: 20.0, 0: 10.0})
    assert found == Spread(1.0, 0.0, 3)
    assert difference({0: 1.0}, {1: 1.0}) is None
