"""OKS-AP against the reference evaluator, and the parts of its protocol one by one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import COCO_17, LSP_14
from lvtune.data.table import read_coco, with_boxes
from lvtune.evaluation.oks import coco_results, oks_ap, oks_nms, rescore
from lvtune.evaluation.scores import score_predictions

TESTS = Path(__file__).parents[1]
SAMPLES = TESTS / "samples"
FILES = {
    "coco": ("coco/annotations/person_keypoints_val2017.json", "coco/val2017"),
    "humanart": ("HumanArt/annotations/validation_humanart.json", "."),
}


def table(name, tmp_path):
    annotations, images = FILES[name]
    return read_coco(SAMPLES / annotations, SAMPLES / images, cache_dir=tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_matches_the_reference_evaluator(name, tmp_path):
    """MMPose 1.x CocoMetric (see the golden file's `made_with`), all ten numbers."""
    golden = json.loads((TESTS / "golden" / "coco_ap.json").read_text())[name]
    found = oks_ap(table(name, tmp_path).coco_ground_truth(), golden["predictions"], COCO_17)
    assert list(found.values()) == pytest.approx(list(golden["expected"].values()), abs=1e-6)


def test_area_follows_from_the_box_when_it_is_not_given(tmp_path):
    golden = json.loads((TESTS / "golden" / "coco_ap.json").read_text())["coco"]
    bare = [{k: v for k, v in p.items() if k != "area"} for p in golden["predictions"]]
    found = oks_ap(table("coco", tmp_path).coco_ground_truth(), bare, COCO_17)
    assert found["AP"] == pytest.approx(golden["expected"]["AP"], abs=1e-6)


def test_rescoring_takes_the_mean_of_scores_above_the_threshold():
    points = np.array([[0.9, 0.5, 0.2, 0.1], [0.2, 0.1, 0.0, 0.0]])
    assert rescore(np.array([0.5, 0.9]), points).tolist() == [pytest.approx(0.35), 0.0]


def test_nms_drops_the_worse_of_two_alike_and_keeps_the_rest():
    points = np.random.default_rng(0).uniform(0, 100, (3, 17, 2))
    points[1] = points[0] + 0.1
    kept = oks_nms(points, np.full(3, 1e4), np.array([0.5, 0.8, 0.1]), np.array(COCO_17.sigmas))
    assert kept.tolist() == [1, 2]


def test_truth_as_prediction_scores_full_marks_and_is_left_untouched(tmp_path):
    persons = table("coco", tmp_path)
    truth = persons.coco_ground_truth()
    before = json.dumps(truth)
    points = persons.column("keypoints")
    predictions = [
        {"image_id": p.image_id, "bbox": p.bbox, "bbox_score": 1.0, "keypoints": points[i, :, :2],
         "keypoint_scores": np.ones(17)}
        for i, p in enumerate(persons)
    ]  # fmt: skip
    assert oks_ap(truth, predictions, COCO_17)["AP"] == 1.0
    assert json.dumps(truth) == before


def test_no_predictions_score_nothing(tmp_path, capsys):
    found = oks_ap(table("coco", tmp_path).coco_ground_truth(), [], COCO_17)
    assert (found["AP"], found["AR"]) == (0.0, 0.0)
    assert capsys.readouterr().out == ""


def test_bad_predictions_are_told(tmp_path):
    truth = table("coco", tmp_path).coco_ground_truth()
    good = {"image_id": 785, "bbox": [0, 0, 9, 9], "bbox_score": 1, "keypoints": np.ones((17, 2)),
            "keypoint_scores": np.ones(17)}  # fmt: skip
    for change, word in (
        ({"image_id": 1}, "image 1"),
        ({"keypoints": np.full((17, 2), np.nan)}, "not finite"),
        ({"keypoints": np.ones((14, 2))}, "coco-17"),
        ({"bbox": None}, "do not fit"),
    ):
        with pytest.raises(LvtuneError, match=word):
            oks_ap(truth, [{**good, **change}], COCO_17)
    with pytest.raises(LvtuneError, match="lsp-14"):
        oks_ap(truth, [good], LSP_14)


def test_scores_in_percent_under_the_protocols_names(tmp_path):
    persons = table("humanart", tmp_path)
    points = persons.column("keypoints")[..., :2]
    result = score_predictions(persons, points, np.ones(points.shape[:2]))
    assert (result["pck@0.2"], result["pck@0.5"], result["ap"]) == (100.0, 100.0, 100.0)
    assert (result["instances"], result["skipped"]) == (4, 1)
    assert result["ap_details"]["APM"] is None  # no person of medium size in the sample
    assert result["boxes"] == "ground truth boxes"
    json.dumps(result)
    assert "ap" not in score_predictions(persons, points, np.ones(points.shape[:2]), protocols=("pck",))


def test_detector_boxes_are_scored_by_ap_alone_and_under_their_name(tmp_path):
    persons = with_boxes(
        table("humanart", tmp_path),
        SAMPLES / "HumanArt/person_detection_results/HumanArt_validation_detections_AP_H_56_person.json",
    )
    # The truth of the box's best match as prediction: with boxes read as corners everybody is found.
    gt = table("humanart", tmp_path)
    boxes, points = gt.column("bbox"), gt.column("keypoints")[..., :2]
    low = np.maximum(persons.column("bbox")[:, None, :2], boxes[None, :, :2])
    ends = [b[..., :2] + b[..., 2:] for b in (persons.column("bbox"), boxes)]
    overlap = np.clip(np.minimum(ends[0][:, None], ends[1][None]) - low, 0, None).prod(-1)
    same = persons.column("image_id")[:, None] == gt.column("image_id")[None]
    best = (overlap * same / (boxes[:, 2:].prod(1) + persons.column("area")[:, None] - overlap)).argmax(1)
    result = score_predictions(persons, points[best], np.ones((len(persons), 17)))
    assert (result["boxes"], result["pck@0.2"]) == ("detector boxes", None)
    assert result["ap_details"]["AR"] == 100.0


def test_predictions_for_another_table_and_unknown_protocols_are_told(tmp_path):
    persons = table("coco", tmp_path)
    with pytest.raises(LvtuneError, match="one prediction for each instance"):
        score_predictions(persons, np.zeros((3, 17, 2)), np.zeros((3, 17)))
    with pytest.raises(LvtuneError, match="protocol 'pkc'"):
        score_predictions(persons, np.zeros((12, 17, 2)), np.zeros((12, 17)), protocols=("pkc",))


def test_no_predictions_are_no_results():
    assert coco_results([], COCO_17) == []
