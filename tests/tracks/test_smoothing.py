"""Smoothing in time: less noise, no lag on a straight way, and gaps that stay gaps."""

from __future__ import annotations

import numpy as np
import pytest

from lvtune.core.errors import UsageError
from lvtune.tracks.smoothing import SMOOTHERS, smooth

FRAMES = np.arange(90)
TIMES = FRAMES / 30


@pytest.mark.parametrize("name", SMOOTHERS.names())
def test_noise_shrinks_and_the_path_stays(name):
    path = np.column_stack([100 + 30 * np.sin(TIMES), 50 + 20 * TIMES])
    noisy = path + np.random.default_rng(0).normal(0, 2, path.shape)
    found = smooth(TIMES, noisy, FRAMES, name)
    assert np.std(found - path) < 0.75 * np.std(noisy - path)
    assert np.abs(found - path).max() < 8
    still = np.tile([[3.0, 4.0]], (90, 1))
    assert smooth(TIMES, still, FRAMES, name) == pytest.approx(still)


@pytest.mark.parametrize("name", SMOOTHERS.names())
def test_gaps_are_kept_and_nothing_leaks_over_them(name):
    places = np.random.default_rng(1).normal(0, 5, (90, 2))
    places[40:45] = np.nan
    places[45:] += 500
    found = smooth(TIMES, places, FRAMES, name)
    assert (np.isnan(found) == np.isnan(places)).all()
    assert found[:40] == pytest.approx(smooth(TIMES[:40], places[:40], FRAMES[:40], name))
    assert found[45:] == pytest.approx(smooth(TIMES[45:], places[45:], FRAMES[45:], name))
    # frames that are missing altogether are a gap too
    cut = np.r_[0:40, 60:90]
    there = smooth(TIMES[cut], np.nan_to_num(places)[cut], FRAMES[cut], name)
    assert there[40:] == pytest.approx(smooth(TIMES[60:], places[60:], FRAMES[60:], name))


def test_every_fifth_frame_is_no_gap():
    frames, places = FRAMES[::5], np.random.default_rng(2).normal(0, 5, (18, 2))
    assert np.ptp(smooth(TIMES[::5], places, frames, "one-euro", step=5)) < np.ptp(places)
    assert smooth(TIMES[::5], places, frames, "one-euro") == pytest.approx(places)  # each alone


def test_uneven_times_are_left_alone_by_savitzky_golay():
    times = np.cumsum(np.random.default_rng(3).uniform(0.01, 0.1, 90))
    places = np.random.default_rng(4).normal(0, 5, (90, 2))
    assert smooth(times, places, FRAMES, "savgol") == pytest.approx(places)
    with pytest.raises(UsageError, match="unknown smoothing 'kalman'"):
        smooth(times, places, FRAMES, "kalman")
