"""A power law is found again, and its interval holds what was not seen."""

import numpy as np
import pytest

from lvtune.evaluation.power_law import fit_power_law


def law(a, b, c):
    return lambda n: a * n**-b + c


@pytest.mark.parametrize("truth", [(40.0, 0.8, 1.5), (12.0, 0.3, 0.0), (90.0, 1.2, 3.0), (30.0, 0.5, 0.5)])
def test_a_law_without_noise_is_found(truth):
    error = law(*truth)
    found = fit_power_law({n: [error(n)] * 2 for n in (10, 20, 40, 80)})
    assert found.b == pytest.approx(truth[1], rel=0.06)
    for pictures in (15, 200, 400):
        forecast = found.forecast(pictures, 2)
        assert forecast.error == pytest.approx(error(pictures), rel=0.05 if pictures < 400 else 0.1)
        assert forecast.low < error(pictures) < forecast.high


@pytest.mark.parametrize(
    ("sizes", "runs", "least"), [((10, 20, 40), 3, 54), ((10, 20, 40, 93), 3, 54), ((20, 80), 2, 54)]
)
def test_the_interval_holds_what_is_run_then(sizes, runs, least):
    """Of 60 noisy curves the mean of a later run must lie inside at least 90 %; and the interval must say something."""
    rng, inside, widths, far = np.random.default_rng(1), 0, [], []
    for _ in range(60):
        error = law(rng.uniform(20, 80), rng.uniform(0.3, 1.2), rng.uniform(0, 3))
        later = round(2.2 * max(sizes))
        noisy = {n: (error(n) * (1 + 0.07 * rng.standard_normal(runs))).tolist() for n in sizes}
        measured = float(np.mean(error(later) * (1 + 0.07 * rng.standard_normal(runs))))
        forecast = fit_power_law(noisy).forecast(later, runs)
        inside += forecast.low <= measured <= forecast.high
        widths.append((forecast.high - forecast.low) / measured)
        far.append(abs(forecast.error - measured) / measured)
    assert inside >= least and np.median(far) < 0.15 and np.median(widths) < 1.5


def test_more_pictures_are_forecast_with_less_certainty():
    found = fit_power_law({n: [law(40, 0.7, 1)(n) * s for s in (0.95, 1.05)] for n in (10, 20, 40)})
    near, far = found.forecast(50), found.forecast(1000)
    assert (far.high - far.low) / far.error > (near.high - near.low) / near.error
    assert near.error > far.error > 0 and far.low >= 0


def test_more_runs_make_the_interval_narrower_and_one_seed_a_wide_one():
    errors = {n: [law(40, 0.7, 1)(n) * s for s in (0.95, 1.05)] for n in (10, 20, 40)}
    found = fit_power_law(errors)
    one, many = found.forecast(80, 1), found.forecast(80, 9)
    assert many.high - many.low < one.high - one.low
    single = fit_power_law({n: values[:1] for n, values in errors.items()})
    assert single.freedom == 0 and single.spread == 0.2


def test_errors_that_do_not_fall_stay_where_they_are():
    found = fit_power_law({n: [5.0, 5.2] for n in (10, 20, 40, 80)})
    assert found.forecast(160).error == pytest.approx(5.1, rel=0.05)


def test_no_law_for_too_little_or_for_no_error():
    assert fit_power_law({10: [3.0, 4.0]}) is None and fit_power_law({}) is None
    assert fit_power_law({10: [3.0], 20: [0.0]}) is None
    assert fit_power_law({10: [3.0], 20: [float("nan")]}) is None
    assert fit_power_law({10: [3.0], 20: []}) is None
