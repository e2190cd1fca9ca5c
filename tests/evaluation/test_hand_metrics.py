"""EPE, Procrustes, AUC, F-scores and FreiHAND's file: numbers worked out by hand and scipy's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from lvtune.core.errors import LvtuneError
from lvtune.evaluation.epe import VARIANTS, HandResult, auc, epe, pck_curve, summary
from lvtune.evaluation.freihand_protocol import f_scores, freihand_scores, write_predictions
from lvtune.evaluation.hand_scores import score_hands
from lvtune.evaluation.procrustes import align


@pytest.fixture
def hands():
    rng = np.random.default_rng(0)
    return rng.normal(0, 40, (6, 21, 3)) + np.array([10.0, -20.0, 600.0])


def moved(points, seed=1):
    """Turned, scaled and shifted, each hand its own way."""
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(rng.normal(0, 2, (len(points), 3))).as_matrix()
    return rng.uniform(0.5, 2, (len(points), 1, 1)) * (points @ turns) + rng.normal(0, 50, (len(points), 1, 3))


def test_alignment_undoes_turn_size_and_shift(hands):
    np.testing.assert_allclose(align(moved(hands), hands), hands, atol=1e-9)


def test_alignment_is_scipys_where_mirroring_is_allowed(hands):
    rng = np.random.default_rng(2)
    for pred in (moved(hands) + rng.normal(0, 8, hands.shape), moved(hands) * [1, 1, -1]):
        aligned = align(pred, hands, reflect=True)
        for one, true in zip(range(len(hands)), hands, strict=True):
            # scipy scales both clouds to unit size: its disparity is a share of the truth's sum of squares
            _, _, disparity = scipy_procrustes(true, pred[one])
            total = ((true - true.mean(0)) ** 2).sum()
            assert ((aligned[one] - true) ** 2).sum() / total == pytest.approx(disparity, abs=1e-12)


def test_alignment_without_mirroring_does_not_forgive_a_mirrored_hand(hands):
    mirrored = hands * [1, 1, -1]
    np.testing.assert_allclose(align(mirrored, hands, reflect=True), hands, atol=1e-9)
    errors = np.linalg.norm(align(mirrored, hands) - hands, axis=-1)
    assert errors.mean() > 5
    for one, true in zip(mirrored, hands, strict=True):
        # scipy's best proper rotation, with the size that goes with it
        pred, true = one - one.mean(0), true - true.mean(0)  # noqa: PLW2901
        turned = Rotation.align_vectors(true, pred)[0].apply(pred)
        size = (turned * true).sum() / (pred**2).sum()
        found = align(pred[None], true[None])[0]
        np.testing.assert_allclose(found, size * turned, atol=1e-6)


def test_a_prediction_of_one_point_lands_on_the_centre(hands):
    aligned = align(np.zeros_like(hands), hands)
    np.testing.assert_allclose(aligned, np.broadcast_to(hands.mean(1, keepdims=True), hands.shape))
    with pytest.raises(LvtuneError, match="of one shape"):
        align(hands[:2], hands)


def test_each_variant_on_two_joints():
    truth = np.array([[[0.0, 0.0, 500.0], [0.0, 30.0, 500.0]]])
    relative = np.array([[[3.0, 0.0, 0.0], [0.0, 34.0, 0.0]]])  # 3 mm off at joint 0, 4 mm at joint 1
    absolute = np.array([[[0.0, 0.0, 510.0], [0.0, 36.0, 518.0]]])  # 10 mm, and (0, 6, 18): sqrt(360) mm
    result = HandResult(truth, relative / 2, np.array([2.0]), absolute)
    assert epe(result)["epe"] == pytest.approx(3.5)
    assert epe(result, "root_gtscale")["per_joint"] == pytest.approx([3.0, 4.0])
    assert epe(result, "absolute")["per_joint"] == pytest.approx([10.0, 360**0.5])
    assert epe(result, "root")["per_joint"] == pytest.approx([0.0, 10.0])  # (0, 36, 8) against (0, 30, 0)
    assert epe(result, "procrustes")["epe"] == pytest.approx(0.0, abs=1e-9)  # any two points align
    assert epe(HandResult(truth, relative, np.ones(1)), "absolute") is None
    with pytest.raises(LvtuneError, match="did you mean 'procrustes'"):
        epe(result, "procustes")


def test_area_under_the_curve_by_hand():
    # a joint 20 mm off: 0 below 20 mm, 100 % from there; thresholds every 10 mm, one trapezium half full
    thresholds = np.array([0.0, 10, 20, 30, 40, 50])
    curve = pck_curve(np.array([20.0]), thresholds)
    assert curve.tolist() == [0, 0, 1, 1, 1, 1]
    assert auc(curve, thresholds) == pytest.approx((5 + 10 + 10 + 10) / 50)
    assert auc(pck_curve(np.array([0.0]))) == pytest.approx(1)
    assert auc(pck_curve(np.array([50.1]))) == 0
    # of errors spread evenly from 0 to 50 mm half the area
    assert auc(pck_curve(np.linspace(0, 50, 20001))) == pytest.approx(0.5, abs=1e-4)


def test_joints_are_averaged_as_published_and_unseen_ones_left_out():
    errors = np.array([[1.0, 10.0], [2.0, 99.0], [9.0, 99.0]])
    counted = np.array([[True, True], [True, False], [True, False]])
    found = summary(errors, counted)
    assert found["epe"] == pytest.approx((1 + 2 + 9 + 10) / 4)
    assert found["epe_median"] == pytest.approx((2 + 10) / 2)
    assert found["per_joint"] == pytest.approx([4.0, 10.0])
    # the curve is the mean of the joints' curves: at 5 mm two thirds of joint 0, none of joint 1
    assert summary(errors, counted, np.array([0.0, 5.0]))["pck"][1] == pytest.approx(1 / 3)
    nothing = summary(errors, np.zeros_like(counted))
    assert nothing["epe"] is None
    assert nothing["per_joint"] == [None, None]


def test_f_score_by_hand():
    truth = np.array([[[0.0, 0, 0], [100, 0, 0]]])
    pred = np.array([[[3.0, 0, 0], [10, 0, 0], [100, 0, 0]]])
    # 5 mm: 2 of 3 predictions near a true point, both true points near a prediction; 15 mm: all
    assert f_scores(pred, truth) == pytest.approx({5.0: 2 * (2 / 3) / (2 / 3 + 1), 15.0: 1.0})
    assert f_scores(pred + 1000, truth) == {5.0: 0.0, 15.0: 0.0}


def test_freihand_protocol(hands):
    shifted = hands + np.array([0, 0, 12.0])
    found = freihand_scores(shifted, hands)
    assert found["raw"]["epe"] == pytest.approx(12)
    assert found["aligned"]["epe"] == pytest.approx(0, abs=1e-9)
    # rounding keeps some joints off the first threshold, exactly 0 mm
    assert found["aligned"]["auc"] > 1 - 0.51 / 99
    assert found["aligned"]["f@5"] == 1


def test_all_scores_of_a_run(hands):
    relative = hands - hands[:, :1] + np.array([0, 0, 6.0])
    result = HandResult(hands, relative / 30, np.full(6, 30.0), hands + np.array([0, 8.0, 0]))
    found = score_hands(result)
    assert found["epe"] == pytest.approx(6)
    assert {name: v["epe"] for name, v in found["variants"].items()} == pytest.approx(
        {"root_gtscale": 6, "absolute": 8, "root": 0, "procrustes": 0}, abs=1e-9
    )
    assert list(found["variants"]) == list(VARIANTS)
    assert found["freihand"]["raw"]["epe"] == pytest.approx(8)
    assert found["per_joint"]["root_gtscale"]["thumb4"] == pytest.approx(6)
    assert len(found["pck_curve"]["root_gtscale"]) == len(found["pck_curve"]["mm"]) == 100
    json.dumps(found, allow_nan=False)


def test_hands_without_3d_labels_do_not_count(hands):
    truth = hands.copy()
    truth[0] = np.nan
    found = score_hands(HandResult(truth, hands - hands[:, :1] + 1.0, np.ones(6)))
    assert found["hands"] == 5
    assert found["epe"] == pytest.approx(3**0.5)
    assert found["variants"]["absolute"] is None
    assert found["freihand"]["raw"] is None
    empty = score_hands(HandResult(np.full_like(hands, np.nan), hands, np.ones(6)))
    assert (empty["epe"], empty["freihand"], empty["hands"]) == (None, None, 0)
    json.dumps(empty, allow_nan=False)


def test_predictions_that_are_no_numbers_are_refused(hands):
    broken = hands.copy()
    broken[2, 3, 1] = np.nan
    with pytest.raises(LvtuneError, match="not finite"):
        HandResult(hands, broken, np.ones(6))
    with pytest.raises(LvtuneError, match="predict every hand"):
        HandResult(hands, hands[:3], np.ones(6))


def test_freihand_file_is_in_metres_with_the_wrist(tmp_path, hands):
    wrist = hands.copy()
    palm = hands.copy()
    palm[:, 0] = (wrist[:, 0] + wrist[:, 9]) / 2
    joints, vertices = json.loads(write_predictions(tmp_path / "pred.json", palm, root="palm").read_text())
    np.testing.assert_allclose(np.array(joints) * 1000, wrist, atol=1e-3)
    assert np.shape(vertices) == (6, 778, 3)
    same, _ = json.loads(write_predictions(tmp_path / "pred.json", wrist, root="wrist").read_text())
    assert same == joints
    with pytest.raises(LvtuneError, match=r"pred\.json"):
        write_predictions(tmp_path / "pred.json", hands[:, :20], root="wrist")
