"""PCK on cases small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import COCO_17, HAND_21, LSP_14, Skeleton
from lvtune.evaluation.pck import pck, reference_of


def case(persons=1):
    """Persons whose torso (left shoulder 9 to right hip 2) is 100 px long; every key point labelled."""
    truth = np.zeros((persons, 14, 2))
    truth[:, 9] = (60, 80)
    return truth, np.ones((persons, 14))


def test_counts_by_hand():
    truth, visible = case(2)
    pred = truth.copy()
    pred[0, 0, 0] += 20.0  # on the line of 0.2: a hit
    pred[0, 1, 0] += 20.1  # a miss at 0.2, a hit at 0.5
    pred[1, 1, 1] += 51.0  # a miss at both
    result = pck(pred, truth, visible, LSP_14)
    assert result["pck@0.2"] == pytest.approx(100 * 26 / 28)
    assert result["pck@0.5"] == pytest.approx(100 * 27 / 28)
    assert result["per_joint"]["right_ankle"] == 100.0
    assert result["per_joint"]["right_knee"] == 0.0
    assert result["per_joint@0.5"]["right_knee"] == 50.0
    assert (result["counted"], result["skipped"]) == (2, 0)


def test_unlabelled_key_points_do_not_count():
    truth, visible = case()
    pred = truth.copy()
    pred[0, 0] += 1000
    visible[0, 0] = 0
    result = pck(pred, truth, visible, LSP_14)
    assert result["pck@0.2"] == 100.0
    assert result["per_joint"]["right_ankle"] is None


def test_persons_without_a_torso_are_skipped_and_counted():
    truth, visible = case(3)
    visible[0, 9] = 0
    truth[1, 9] = truth[1, 2]
    result = pck(truth + 1000 * (visible[..., None] == 0), truth, visible, LSP_14)
    assert (result["counted"], result["skipped"], result["pck@0.2"]) == (1, 2, 100.0)


def test_nobody_to_count_gives_none():
    truth, visible = case()
    result = pck(truth, truth, visible * 0, LSP_14)
    assert (result["pck@0.2"], result["counted"], result["skipped"]) == (None, 0, 1)


def test_a_prediction_that_is_no_number_is_a_miss():
    truth, visible = case()
    pred = truth.copy()
    pred[0, 3] = np.nan
    pred[0, 4] = np.inf
    assert pck(pred, truth, visible, LSP_14)["pck@0.5"] == pytest.approx(100 * 12 / 14)


def test_other_torso_and_thresholds():
    truth, visible = case()
    truth[0, 3] = (10, 0)
    pred = truth.copy()
    pred[0, 0, 0] += 2.0  # 0.2 of the 10 px between 2 and 3
    result = pck(pred, truth, visible, LSP_14, thresholds=(0.1, 0.2), ends=(2, 3))
    assert result["pck@0.1"] == pytest.approx(100 * 13 / 14)
    assert result["pck@0.2"] == 100.0


def test_wrong_skeleton_and_no_torso_are_told():
    truth, visible = case()
    with pytest.raises(LvtuneError, match="coco-17"):
        pck(truth, truth, visible, COCO_17)
    with pytest.raises(LvtuneError, match="torso"):
        pck(truth[:, :1], truth[:, :1], visible[:, :1], Skeleton("dot", ("dot",), (0.1,)))


@pytest.mark.parametrize(
    ("names", "reference"),
    [
        (LSP_14.keypoints, "torso"),
        (("head_top", "neck", "hand"), "head"),
        (("snout", "leftear", "rightear", "tailbase"), "head"),
        (("ear.L", "ear.R", "tail"), "head"),
        (("rear", "front"), "box diagonal"),
        (("snout", "tail"), "box diagonal"),
        (HAND_21.keypoints, "box diagonal"),
    ],
)
def test_the_reference_is_what_the_skeleton_has(names, reference):
    skeleton = Skeleton("any", tuple(names), (0.1,) * len(names))
    assert reference_of(skeleton).name == reference
    truth = np.arange(2.0 * len(names)).reshape(1, -1, 2)
    found = pck(truth, truth, np.ones((1, len(names))), skeleton, boxes=np.array([[0, 0, 3, 4]]))
    assert (found["pck_by"], found["pck@0.2"]) == (reference, 100.0)


def test_without_torso_and_head_the_box_counts():
    skeleton = Skeleton("line", ("snout", "tail"), (0.1, 0.1))
    truth, boxes = np.zeros((2, 2, 2)), np.array([[0, 0, 30, 40], [0, 0, 0, 0]])
    pred = truth.copy()
    pred[0, 0, 0], pred[0, 1, 0] = 10.0, 10.1  # a fifth of 50 px, and a little more
    found = pck(pred, truth, np.ones((2, 2)), skeleton, boxes=boxes)
    assert (found["pck@0.2"], found["counted"], found["skipped"]) == (50.0, 1, 1)
