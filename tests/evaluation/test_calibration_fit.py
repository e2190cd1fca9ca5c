"""Fitting on pictures makes probabilities true, also with few points, with none, and where all are right."""

import numpy as np
import pytest

from lvtune.evaluation.calibration import FEATURES
from lvtune.evaluation.calibration_fit import (
    Observed,
    expected_calibration_error,
    fit_map,
    left_out,
    quality,
    reliability,
)

KINDS = 4


def observed(count=400, seed=0, *, offsets=(0.0, 0.0, 0.0, 0.0), slope=6.0):
    """Peaks that say too much: a point is right with probability sigmoid(slope (peak - 0.7) + offset)."""
    rng = np.random.default_rng(seed)
    peaks, spreads = rng.uniform(0, 1, (count, KINDS)), rng.uniform(1, 6, (count, KINDS))
    chance = 1 / (1 + np.exp(-(slope * (peaks - 0.7) + np.array(offsets) - 0.2 * (spreads - 3))))
    hits = rng.uniform(size=chance.shape) < chance
    errors = np.where(hits, rng.uniform(0, 0.05, chance.shape), rng.uniform(0.05, 0.5, chance.shape))
    return Observed(peaks, spreads, hits, np.ones_like(hits), np.exp(-errors * 20), errors)


def test_other_pictures_are_calibrated_after_the_fit():
    found = fit_map(observed(seed=1))
    other = observed(seed=2)
    values = quality(other, found(other.peaks, other.spreads))
    assert values["ece_raw"] > 15 and values["ece"] < 5
    assert 87 < values["in_radius"] < 93
    assert values["points"] == 400 * KINDS == sum(row["points"] for row in values["bins"])


def test_expected_oks_is_that_of_other_pictures_and_sorts_the_poses():
    found, other = fit_map(observed(seed=1)), observed(seed=2)
    expected, true = found(other.peaks, other.spreads).oks, other.oks.mean(1)
    assert abs(expected.mean() - true.mean()) < 0.02 and np.corrcoef(expected, true)[0, 1] > 0.5


def test_each_key_point_has_its_own_answer_where_there_is_data():
    found = fit_map(observed(offsets=(2.0, 0.0, 0.0, -2.0)))
    assert found.hit.offsets[0] > 0.8 and found.hit.offsets[3] < -0.8
    few = observed(offsets=(2.0, 0.0, 0.0, -2.0))
    few.counted[:, 3] = False
    few.oks[:, 3] = np.nan
    found = fit_map(few)
    assert found.hit.offsets[3] == 0 and found.oks.offsets[3] == 0


def test_a_feature_that_points_the_wrong_way_is_left_out():
    wrong = observed(slope=-6.0)
    found = fit_map(wrong)
    assert found.hit.weights[0] == 0 and found.hit.weights[1] <= 0 and len(found.hit.weights) == len(FEATURES)


@pytest.mark.parametrize("value", [True, False])
def test_where_all_are_right_or_all_are_wrong(value):
    seen = observed(count=30)
    seen.hits[:] = value
    found = fit_map(seen)
    scores = found(seen.peaks, seen.spreads).scores
    assert np.isfinite(scores).all() and abs(scores.mean() - value) < 0.05
    assert scores.max() < 1 and scores.min() > 0


def test_the_error_of_calibration_by_hand():
    p, hits = np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 1, 1, 1])
    # two bins: |0.1 - 0.5| and |0.9 - 1|, two points each
    assert expected_calibration_error(p, hits) == pytest.approx(25.0)
    assert expected_calibration_error(np.array([1.0, 1.3]), np.array([1, 1])) == 0
    assert expected_calibration_error(np.zeros(0), np.zeros(0)) is None
    assert [row["points"] for row in reliability(p, hits)] == [2, 2]


def test_pictures_left_out_are_scored_by_a_map_that_never_saw_them():
    seen = observed(seed=3)
    names = np.array([f"p{i // 4}" for i in range(400)])  # four instances in a picture
    found = left_out(seen, names)
    values = quality(seen, found)
    assert values["ece"] < 5 and values["ece_raw"] > 15 and 86 < values["in_radius"] < 94
    # a picture whose labels are changed changes what is said of the others, not of itself
    rows = names == "p7"
    other = observed(seed=3)
    other.hits[rows], other.errors[rows] = ~seen.hits[rows], 0.5
    changed = left_out(other, names)
    assert np.array_equal(changed.scores[rows], found.scores[rows])
    assert np.array_equal(changed.radii[rows], found.radii[rows])
    assert not np.allclose(changed.scores[~rows], found.scores[~rows])


def test_labels_in_one_picture_alone_cannot_be_left_out():
    seen = observed(20)
    seen.counted[1:], seen.errors[1:] = False, np.nan
    assert left_out(seen, np.array([f"p{i}" for i in range(20)])) is None


def test_with_few_points_the_radius_holds_on_other_pictures_too():
    inside = []
    for seed in range(40):
        found, other = fit_map(observed(12, seed)), observed(200, seed + 100)
        inside.append(quality(other, found(other.peaks, other.spreads))["in_radius"])
    assert 89.5 < np.mean(inside) < 94
