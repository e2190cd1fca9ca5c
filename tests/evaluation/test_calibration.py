"""The map from a heatmap's peak to a probability: monotone, bounded, and read back as it was written."""

import copy
import json

import numpy as np
import pytest
import torch

from lvtune.data.codec import UDPHeatmap
from lvtune.evaluation.calibration import (
    Calibration,
    CalibrationMap,
    Logistic,
    calibration_of,
    features_of,
    read_calibration,
    spread_of,
)

NAMES = ("nose", "tail")
MAP = CalibrationMap(
    Logistic(-1.0, (4.0, -0.5), (0.2, -0.2)), Logistic(-2.0, (3.0, 0.0), (0.0, 0.1)), (-3.0, -0.5), (-4.0, 3.0)
)
FOUND = Calibration(NAMES, MAP, MAP, "5 px", 5.0, 20, 40, "frames")


def heatmaps(*centres):
    codec = UDPHeatmap()
    points = torch.tensor([[centre] for centre in centres], dtype=torch.float32)
    return codec.encode(points, torch.ones(len(centres), 1))[0]


def test_the_spread_of_one_peak_is_that_of_its_gaussian_wherever_it_lies():
    maps = heatmaps((60.0, 80.0), (130.0, 200.0))
    spreads = spread_of(maps)
    assert torch.allclose(spreads[0], spreads[1], atol=0.05)
    assert 1.5 < spreads[0, 0] < 2 * 2**0.5  # sigma 2 in two directions, without its tail


def test_two_peaks_that_disagree_have_a_large_spread_and_noise_too():
    one, other = heatmaps((60.0, 80.0)), heatmaps((130.0, 200.0))
    assert spread_of((one + 0.9 * other) / 2)[0, 0] > 5 * spread_of(one)[0, 0]
    assert spread_of(torch.rand(1, 1, 64, 48))[0, 0] > 5 * spread_of(one)[0, 0]
    assert torch.isfinite(spread_of(torch.zeros(1, 2, 64, 48))).all()


def test_a_higher_peak_is_never_less_sure_and_never_has_a_larger_radius():
    peaks = np.repeat(np.linspace(-0.1, 1.3, 50)[:, None], 2, 1)
    found = MAP(peaks, np.full_like(peaks, 3.0))
    assert (np.diff(found.scores, axis=0) >= 0).all() and (np.diff(found.radii, axis=0) <= 0).all()
    assert (np.diff(found.oks) >= 0).all()
    assert ((found.scores > 0) & (found.scores < 1)).all() and (found.scores[:, 0] > found.scores[:, 1]).all()
    wide = MAP(peaks, np.full_like(peaks, 9.0))
    assert (wide.scores < found.scores)[1:].all() and (wide.radii >= found.radii).all()


def test_values_that_no_heatmap_should_have_do_not_break_it():
    features = features_of(np.array([[1e9, -5.0]]), np.array([[0.0, 1e9]]))
    assert np.isfinite(features).all()


def test_it_is_read_back_as_it_was_written():
    text = json.dumps(FOUND.to_dict())
    assert read_calibration(json.loads(text), NAMES) == FOUND
    assert FOUND.of(True) is FOUND.mirrored and FOUND.of(False) is FOUND.plain


def test_an_adapter_without_one_has_none():
    assert calibration_of(None) is None and calibration_of(torch.nn.Linear(1, 1)) is None


def _set(*path):
    *parents, last, value = path

    def change(table):
        for key in parents:
            table = table[key]
        table[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("keypoints", ["nose"]),
        _set("keypoints", []),
        _set("keypoints", "nose"),
        _set("features", ["peak"]),
        _set("maps", None),
        _set("maps", "plain", []),
        _set("maps", "mirrored", "hit", "weights", [-1.0, 0.0]),
        _set("maps", "mirrored", "hit", "weights", [1.0, 0.5]),
        _set("maps", "plain", "hit", "weights", [1.0]),
        _set("maps", "plain", "oks", "offsets", [0.0] * 3),
        _set("maps", "plain", "oks", "intercept", float("nan")),
        _set("maps", "plain", "oks", "intercept", True),
        _set("maps", "plain", "oks", "intercept", 1e30),
        _set("maps", "plain", "radius", [0.0, 1.0]),
        _set("maps", "plain", "reach", [2.0, 1.0]),
        _set("maps", "plain", "reach", [-1e5, 1e5]),
        _set("pixels", "five"),
        _set("pictures", -1),
        _set("points", 1.5),
        _set("within", None),
    ],
)
def test_what_is_no_calibration_is_refused(change):
    table = copy.deepcopy(FOUND.to_dict())
    change(table)
    with pytest.raises(ValueError):
        read_calibration(table, NAMES)
