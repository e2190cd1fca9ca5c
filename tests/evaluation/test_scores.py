"""Which score leads, what it is called, and what is said where there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lvtune.data.skeletons import AP10K_17, COCO_17, HAND_21, LSP_14, Skeleton
from lvtune.data.table import read_coco
from lvtune.evaluation.metrics import goodness, meaning_of, metric_name, short_name
from lvtune.evaluation.oks_sigmas import sigma_source
from lvtune.evaluation.scores import main_score, score_predictions, scoring_of
from lvtune.evaluation.task import Scores, gained, gap_closed, retention

MOUSE = ["snout", "left_ear", "tail_base"]


def mouse(folder, visible=2):
    """A table of one mouse whose points lie at (10, 20), (30, 20), (20, 60)."""
    points = [10, 20, visible, 30, 20, visible, 20, 60, visible]
    one = {"id": 1, "image_id": 5, "category_id": 3, "bbox": [5, 10, 30, 60], "area": 1800, "iscrowd": 0,
           "num_keypoints": 3, "keypoints": points}  # fmt: skip
    image = {"id": 5, "file_name": "a.png", "width": 100, "height": 100}
    category = {"id": 3, "name": "mouse", "keypoints": MOUSE}
    (folder / "a.json").write_text(json.dumps({"images": [image], "annotations": [one], "categories": [category]}))
    return read_coco(folder / "a.json", folder)


def test_the_main_score_is_the_pixel_error_where_there_is_no_torso(tmp_path):
    table = mouse(tmp_path)
    assert [main_score(s) for s in (COCO_17, LSP_14, AP10K_17)] == ["pck@0.2"] * 3
    assert main_score(table.skeleton) == main_score(HAND_21) == "px_mean"
    pred = table.column("keypoints")[..., :2] + [3, 4]
    values = score_predictions(table, pred, np.full((1, 3), 0.7))
    assert values["px_mean"] == values["px_rms"] == values["px_median"] == 5.0
    assert values["px_cutoff"]["share"] == 100.0 and values["instances"] == 1 and values["reasons"] == {}
    scored = Scores(pred, np.ones((1, 3)), values | {"main": "px_mean"})
    assert scored.main == "px_mean" and scored.per_joint() == dict.fromkeys(MOUSE, 5.0)
    assert scored.headline()["px_per_keypoint"] == dict.fromkeys(MOUSE, 5.0)


def test_names_say_by_what_and_with_which_sigmas():
    skeleton = Skeleton.from_category({"name": "mouse", "keypoints": MOUSE})
    report = {"main": "px_mean", "scoring": {"target": scoring_of(skeleton), "source": scoring_of(COCO_17)}}
    assert metric_name("pck@0.2", report) == "PCK@0.2 of the box diagonal"
    assert metric_name("pck@0.5", report, "source") == "PCK@0.5 of the torso"
    assert metric_name("ap", report) == short_name("ap", report) == "AP (guessed sigmas)"
    assert short_name("ap", report, "source") == "AP" and metric_name("px_rms", report) == "RMS error (px)"
    assert "pixels" in meaning_of(report)
    assert metric_name("pck@0.2") == "PCK@0.2" and metric_name("ap", {"target": {}}) == "OKS-AP"  # an older report


@pytest.mark.parametrize("skeleton", [COCO_17, LSP_14, HAND_21, AP10K_17])
def test_published_sigmas_are_no_guess(skeleton):
    found = sigma_source(skeleton)
    assert found.known == skeleton.name and not found.guessed


def test_guessed_sigmas_are_named():
    found = sigma_source(Skeleton.from_category({"keypoints": ["snout", "left_shoulder", "tail", "nose"]}))
    assert found.guessed == ("snout", "tail") and "0.079" in found.text and "snout, tail" in found.text
    assert sigma_source(Skeleton("own", ("snout",), (0.05,))).guessed == ()


def test_a_missing_score_has_a_reason(tmp_path):
    table = mouse(tmp_path)
    people = Skeleton("people", ("left_shoulder", "right_shoulder", "left_hip", "right_hip"), (0.1,) * 4)
    assert scoring_of(people)["notes"] == [] and scoring_of(table.skeleton)["notes"]
    # a torso whose ends are not both labelled
    annotations = json.loads((tmp_path / "a.json").read_text())
    annotations["categories"][0]["keypoints"] = list(people.keypoints)
    annotations["annotations"][0]["keypoints"] = [10, 20, 0, 30, 20, 2, 20, 60, 2, 40, 60, 2]
    (tmp_path / "b.json").write_text(json.dumps(annotations))
    table = read_coco(tmp_path / "b.json", tmp_path)
    values = score_predictions(table, table.column("keypoints")[..., :2], np.ones((1, 4)))
    assert values["pck@0.2"] is None and values["px_mean"] == 0.0 and values["skipped"] == 1
    assert "torso is labelled" in values["reasons"]["pck@0.2"]


def test_errors_gain_and_close_gaps_by_falling():
    assert gap_closed(20.0, 12.0, 10.0, True) == pytest.approx(0.8)
    assert gap_closed(20.0, 40.0, 60.0) == pytest.approx(0.5) and gap_closed(8.0, 6.0, 10.0, True) is None
    assert gained(20.0, 12.0, True) == 8.0 and gained(20.0, 12.0) == -8.0 and gained(None, 1.0) is None
    assert retention(10.0, 12.5, True) == pytest.approx(0.8) and retention(50.0, 40.0) == pytest.approx(0.8)
    assert max([3.0, 9.0, 5.0], key=lambda value: goodness("px_mean", value)) == 3.0
    assert goodness("ap", None) < goodness("ap", 0.0)
