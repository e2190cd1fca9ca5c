"""Errors in pixels, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lvtune.evaluation.pixel_errors import distances, pixel_errors

NAMES = ("snout", "ear", "tail")


def case():
    """Two poses of three points; errors 3, 4 and 5 px, and 12 px; the others are unlabelled."""
    truth = np.zeros((2, 3, 2))
    pred = truth.copy()
    pred[0] = [(3, 0), (0, 4), (3, 4)]
    pred[1] = [(12, 0), (500, 500), (0, 900)]
    visible = np.array([[2, 1, 2], [2, 0, 0]])
    return distances(pred, truth, visible)


def test_mean_median_and_rms_in_all_and_for_each_key_point():
    found = pixel_errors(case(), np.ones((2, 3)), NAMES)
    assert found["px_points"] == 4
    assert found["px_mean"] == pytest.approx(24 / 4)
    assert found["px_median"] == pytest.approx(4.5)
    assert found["px_rms"] == pytest.approx(((9 + 16 + 25 + 144) / 4) ** 0.5)
    assert found["px_per_keypoint"] == {"snout": 7.5, "ear": 4.0, "tail": 5.0}
    assert found["px_median_per_keypoint"]["snout"] == 7.5
    assert found["px_rms_per_keypoint"]["snout"] == pytest.approx((153 / 2) ** 0.5)


def test_the_threshold_counts_confident_points_alone_and_tells_their_share():
    scores = np.array([[0.9, 0.6, 0.59], [0.1, 1.0, 1.0]])
    found = pixel_errors(case(), scores, NAMES, 0.6)["px_cutoff"]
    assert (found["p_cutoff"], found["share"]) == (0.6, 50.0)  # 2 of 4; unlabelled points do not count
    assert found["px_mean"] == 3.5 and found["px_per_keypoint"] == {"snout": 3.0, "ear": 4.0, "tail": None}
    nothing = pixel_errors(case(), scores, NAMES, 0.95)["px_cutoff"]
    assert nothing["share"] == 0.0 and nothing["px_mean"] is None


def test_nothing_labelled_gives_none_and_a_missing_prediction_is_infinitely_far():
    empty = pixel_errors(np.full((2, 3), np.nan), np.ones((2, 3)), NAMES)
    assert empty["px_mean"] is None and empty["px_cutoff"]["share"] is None and empty["px_points"] == 0
    errors = distances(np.full((1, 1, 2), np.nan), np.zeros((1, 1, 2)), np.ones((1, 1)))
    assert np.isinf(errors).all()
