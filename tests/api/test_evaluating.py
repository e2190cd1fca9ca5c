"""Scores under both protocols, by name."""

import json

import layouts
import numpy as np
import pytest
from tiny import tiny_base

import lvtune
from lvtune.cli.main import main
from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError, UsageError
from lvtune.data.skeletons import Skeleton


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    layouts.humanart(folder)
    return DataOptions(data=str(folder), source_data=str(layouts.coco(folder / "coco")), source_domain="coco",
                       boxes="published")  # fmt: skip


def test_annotated_and_detector_boxes_are_both_scored(data):
    base = tiny_base()
    values = lvtune.evaluate(base, None, "humanart", data=data)
    for side, persons, boxes in (("target", 3, "xyxy"), ("source", 1, "xywh")):
        scored = values[side]
        assert scored["boxes"] == "ground truth boxes" and scored["instances"] == persons
        assert set(scored["protocols"]) == {"ground truth boxes", "detector boxes"}
        assert scored["protocols"]["ground truth boxes"]["ap"] == scored["ap"]
        assert scored["protocols"]["detector boxes"]["box_format"].startswith(boxes)
    assert "protocols" not in lvtune.evaluate(base, None, "humanart", data=DataOptions(data=data.data))["target"]


def test_both_protocols_are_printed(data, capsys):
    given = ["--data", data.data, "--boxes", "published", "--weights", "random", "--base", "timm:resnet10t"]
    assert main(["evaluate", "--domain", "humanart", *given]) == 0
    out = capsys.readouterr().out
    assert "target, ground truth boxes" in out and "target, detector boxes" in out


MOUSE = ["snout", "left_ear", "tail_base"]


@pytest.fixture
def mice(tmp_path):
    """Six pictures of noise with a mouse of three points in a part of each; category id 3."""
    import cv2

    rng = np.random.default_rng(0)
    images, annotations = [], []
    (tmp_path / "frames").mkdir()
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"frames/{i}.png"), rng.integers(0, 255, (80, 100, 3), np.uint8))
        images.append({"id": 10 + i, "file_name": f"{i}.png", "width": 100, "height": 80})
        points = np.column_stack([rng.uniform(20, 50, 3), rng.uniform(20, 50, 3), np.full(3, 2)])
        annotations.append({"id": i + 1, "image_id": 10 + i, "category_id": 3, "bbox": [10, 10, 50, 50], "area": 2500,
                            "iscrowd": 0, "num_keypoints": 3, "keypoints": points.ravel().tolist()})  # fmt: skip
    whole = {"images": images, "annotations": annotations,
             "categories": [{"id": 3, "name": "mouse", "keypoints": MOUSE}]}  # fmt: skip
    (tmp_path / "own.json").write_text(json.dumps(whole))
    return tmp_path


def mouse_data(folder, **more):
    return DataOptions(data=str(folder / "frames"), annotations=str(folder / "own.json"), **more)


def mouse_base():
    return tiny_base(skeleton=Skeleton.from_category({"name": "mouse", "keypoints": MOUSE}))


def test_pixels_lead_where_there_is_no_torso(mice):
    values = lvtune.evaluate(mouse_base(), None, "custom", data=mouse_data(mice), split="all")
    assert values["main"] == "px_mean" and set(values["per_joint"]) == set(MOUSE)
    target = values["target"]
    assert target["px_mean"] == pytest.approx(np.mean(list(target["px_per_keypoint"].values())))
    assert target["instances"] == 6 and target["pck_by"] == "box diagonal" and "persons" not in target
    assert values["scoring"]["target"]["sigmas"]["guessed"] == ["snout", "tail_base"]
    assert "no pictures of the source" in values["reasons"]["source"]
    json.dumps(values)


def test_coco_results_give_the_same_ap(mice):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    base, out = mouse_base(), mice / "out"
    values = lvtune.evaluate(base, None, "custom", data=mouse_data(mice), split="train", out=out)
    for truth in (out / "truth.coco.json", mice / "own.json"):
        known = COCO(str(truth))
        found = COCOeval(known, known.loadRes(str(out / "results.coco.json")), "keypoints")
        found.params.kpt_oks_sigmas = np.array(base.skeleton.sigmas)
        found.params.imgIds = sorted({one["image_id"] for one in json.loads((out / "results.coco.json").read_text())})
        found.evaluate()
        found.accumulate()
        found.summarize()
        assert 100 * found.stats[0] == pytest.approx(values["target"]["ap"], abs=1e-9)
    assert (out / "poses.csv").read_text().count("\n") == 1 + values["target"]["instances"]
    assert json.loads((out / "scores.json").read_text())["main"] == "px_mean"


def test_boxes_count_for_the_training_split_too(mice):
    rows = [{"image_id": 10 + i, "category_id": 3, "bbox": [5, 5, 60, 60], "score": 0.9} for i in range(6)]
    (mice / "boxes.json").write_text(json.dumps(rows))
    for split in ("train", "test"):
        values = lvtune.evaluate(mouse_base(), None, "custom", split=split,
                                 data=mouse_data(mice, boxes=str(mice / "boxes.json")))  # fmt: skip
        assert "detector boxes" in values["target"]["protocols"], split


@pytest.mark.parametrize(
    ("fault", "words"),
    [("missing", "2 of 6 pictures are missing"), ("broken", "2 of 6 pictures cannot be read"),
     ("size", "2 of 6 pictures are of another size")],
)  # fmt: skip
def test_pictures_are_looked_at_before_anything_is_computed(fault, words, mice, monkeypatch):
    import cv2

    for name in ("1.png", "4.png"):
        file = mice / "frames" / name
        if fault == "missing":
            file.unlink()
        elif fault == "broken":
            file.write_bytes(file.read_bytes()[:200])
        else:
            cv2.imwrite(str(file), np.zeros((80, 90, 3), np.uint8))
    monkeypatch.setattr("lvtune.api.evaluating.score_split", lambda *args, **options: pytest.fail("computed"))
    with pytest.raises(DataError) as error:
        lvtune.evaluate(mouse_base(), None, "custom", data=mouse_data(mice), split="all")
    assert words in error.value.given and "1.png" in error.value.given and "4.png" in error.value.given


def test_the_data_folder_is_no_output_folder(mice):
    before = sorted(path.name for path in (mice / "frames").iterdir())
    with pytest.raises(UsageError, match="holds input files"):
        lvtune.evaluate(mouse_base(), None, "custom", data=mouse_data(mice), out=mice / "frames")
    assert sorted(path.name for path in (mice / "frames").iterdir()) == before


def test_nothing_is_called_a_person_that_is_none(mice, capsys, monkeypatch):
    monkeypatch.setattr("lvtune.hub.adapter_loading.load_base", lambda *args, **options: mouse_base())
    given = ["--data", str(mice / "frames"), "--annotations", str(mice / "own.json"), "--p-cutoff", "0.2"]
    assert main(["evaluate", *given]) == 0
    out = capsys.readouterr().out
    assert "mean error (px)" in out and "AP (guessed sigmas)" in out and "PCK@0.2 of the box diagonal" in out
    assert "person" not in out and " - " not in out and "confidence of 0.2 or more" in out
    assert "guess for 2 key points" in out and "no score (source): there are no pictures of the source" in out
