"""Detector boxes: their format, and a table of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from own_files import sound, write

from lvtune.core.errors import LvtuneError
from lvtune.data.boxes import decide_box_format, to_xywh
from lvtune.data.table import Person, read_coco, with_boxes

SAMPLES = Path(__file__).parents[1] / "samples"
COCO_BOXES = SAMPLES / "coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
ART_BOXES = SAMPLES / "HumanArt/person_detection_results/HumanArt_validation_detections_AP_H_56_person.json"


@pytest.fixture
def coco(tmp_path):
    annotations = SAMPLES / "coco/annotations/person_keypoints_val2017.json"
    return read_coco(annotations, SAMPLES / "coco/val2017", cache_dir=tmp_path)


@pytest.fixture
def art(tmp_path):
    return read_coco(SAMPLES / "HumanArt/annotations/validation_humanart.json", SAMPLES, cache_dir=tmp_path)


def iou(one, many):
    low = np.maximum(one[:2], many[:, :2])
    high = np.minimum(one[:2] + one[2:], many[:, :2] + many[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    return shared / (one[2:].prod() + many[:, 2:].prod(1) - shared)


def test_coco_detections_are_sizes(coco):
    table = with_boxes(coco, COCO_BOXES)
    assert table.box_format.startswith("xywh (14 of 118 boxes lie inside their image as corners, 118 as x, y")
    assert len(table) == 118
    assert table[0].bbox.tolist() == pytest.approx([277.1183, 45.6997, 225.0913, 333.5603], abs=1e-4)
    assert table[0].score == pytest.approx(0.99997318)
    assert (table[0].annotation_id, table[0].keypoints.any()) == (-1, False)


def test_humanart_detections_are_corners(art):
    """Two of them match the ground truth at IoU 1.00 as corners, at 0.24 and 0.94 as sizes."""
    table = with_boxes(art, ART_BOXES)
    assert table.box_format.startswith("xyxy (13 of 13 boxes lie inside their image as corners")
    assert any("read as xyxy" in note for note in table.notes)
    raw = np.array([d["bbox"] for d in json.loads(ART_BOXES.read_text())])
    truth = {i: art.column("bbox")[art.column("image_id") == i] for i in set(art.column("image_id"))}
    right = np.array([iou(p.bbox, truth[p.image_id]).max() for p in table])
    assert sorted(right.round(2))[-2:] == [1.0, 1.0]
    best = np.argsort(right)[-2:]
    misread = sorted(iou(raw[i], truth[table[i].image_id]).max() for i in best)
    assert np.round(misread, 2).tolist() == [0.24, 0.94]
    assert with_boxes(art, ART_BOXES, "xywh").box_format == "xywh (as asked for)"
    assert table[0].category == "digital_art"


def test_columns_rows_and_selections_agree(coco):
    table = with_boxes(coco, COCO_BOXES).select([7, 3])
    for name in set(Person.__slots__) - {"index"}:
        for i, person in enumerate(table):
            assert np.array_equal(table.column(name)[i], getattr(person, name)), name
    assert table.fingerprint != coco.fingerprint


def test_ground_truth_stays_the_files(coco):
    assert with_boxes(coco, COCO_BOXES).coco_ground_truth() == coco.coco_ground_truth()


def test_only_the_pictures_of_a_selection_are_taken(coco):
    table = with_boxes(coco.select([0]), COCO_BOXES, min_score=0.5)
    assert set(table.column("image_id")) == {785} and table.column("score").min() >= 0.5
    assert [a["iscrowd"] for a in table.coco_ground_truth()["annotations"]] == [0]


def test_other_categories_are_passed_over(coco, tmp_path):
    found = [{"image_id": 785, "category_id": c, "bbox": [10, 10, 50, 60], "score": 0.5} for c in (1, 18, 44)]
    (tmp_path / "d.json").write_text(json.dumps(found))
    assert len(with_boxes(coco, tmp_path / "d.json")) == 1


def test_forms_are_told_apart_and_doubt_goes_to_cocos_own():
    sizes = np.array([[100, 100]] * 3)
    assert decide_box_format(np.array([[60, 60, 90, 95], [5, 5, 9, 9], [50, 50, 99, 99]]), sizes)[0] == "xyxy"
    assert decide_box_format(np.array([[60, 60, 30, 35], [5, 5, 9, 9], [50, 50, 49, 49]]), sizes)[0] == "xywh"
    form, reason = decide_box_format(np.array([[0, 0, 50, 50]]), sizes[:1])
    assert form == "xywh" and "both fit" in reason


def test_boxes_are_clipped_to_the_image():
    size = np.array([[100, 80]])
    assert to_xywh(np.array([[-5.0, 10, 40, 90]]), "xyxy", size).tolist() == [[0, 10, 40, 70]]
    assert to_xywh(np.array([[90.0, 10, 40, 20]]), "xywh", size).tolist() == [[90, 10, 10, 20]]


def detection(**change):
    return [{**{"image_id": 785, "category_id": 1, "bbox": [10, 10, 50, 60], "score": 0.5}, **change}]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{", "not JSON"),
        ('{"annotations": []}', "not a list of detections"),
        ("[1, 2]", "not a list of detections"),
        ("[]", "no box of a person"),
        (detection(image_id=4), "no box of a person in the 4 pictures"),
        (detection(category_id=7), "no box of a person"),
        (detection(bbox=[1, 2, 3]), "malformed"),
        (detection(bbox=None), "malformed"),
        (detection(bbox=[1, 2, 3, float("nan")]), "malformed"),
        (detection(score="high"), "malformed"),
        (detection(image_id="a"), "malformed"),
        ([{"image_id": 785, "bbox": [1, 2, 3, 4]}], "without `score`"),
        (detection(bbox=[0.1, 0.1, 0.5, 0.9]), "relative to the image"),
        (detection(bbox=[5000, 5000, 50, 60]), "fit their image"),
    ],
)
def test_faults_of_a_detections_file(content, word, coco, tmp_path):
    path = tmp_path / "detections.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(LvtuneError) as error:
        with_boxes(coco, path)
    assert word in error.value.given and error.value.expected and error.value.fix


def test_no_such_file_and_unknown_format(coco, tmp_path):
    with pytest.raises(LvtuneError, match="no detections file at"):
        with_boxes(coco, tmp_path / "none.json")
    with pytest.raises(LvtuneError, match=r"box format 'xyhw'.*did you mean 'xywh'"):
        with_boxes(coco, COCO_BOXES, "xyhw")


def own(tmp_path, boxes):
    """A table of mice with category id 1 in six pictures, and a file of boxes for it."""
    data = sound()
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(boxes(data) if callable(boxes) else boxes), encoding="utf-8-sig")
    return with_boxes(read_coco(write(data, tmp_path), tmp_path, cache_dir=tmp_path), path)


def by_name(data):
    names = {image["id"]: image["file_name"] for image in data["images"]}
    table = {}
    for item in data["annotations"]:
        table.setdefault(names[item["image_id"]], []).append(item["bbox"])
    return table


def by_results(**more):
    def make(data):
        return [{"image_id": a["image_id"], "bbox": a["bbox"], "score": 0.9, **more} for a in data["annotations"]]

    return make


@pytest.mark.parametrize(
    ("boxes", "note"),
    [
        (by_name, "12 boxes without a score"),
        (lambda data: data, "12 boxes without a score"),
        (by_results(), "12 detector boxes read as xywh"),
        (by_results(category_id=1), "12 detector boxes read as xywh"),
        (by_results(category_id=0), "all detector boxes are of person"),
        (by_results(category_id=18), "all detector boxes are of dog"),
        (lambda data: [{**d, "image_id": f"frame{d['image_id']:02}"} for d in by_results()(data)], "12 detector boxes"),
    ],
    ids=["names", "annotations", "ids", "category", "zero", "dogs", "stems"],
)
def test_every_form_of_box_file_is_read(tmp_path, boxes, note):
    table = own(tmp_path, boxes)
    assert np.allclose(table.column("bbox"), [item["bbox"] for item in sound()["annotations"]])
    assert any(note in one for one in table.notes)


def test_boxes_of_other_categories_are_counted(tmp_path):
    def boxes(data):
        return by_results(category_id=1)(data) + by_results(category_id=5)(data)

    table = own(tmp_path, boxes)
    assert len(table) == 12
    assert any("12 detector boxes of other categories than the annotated ones" in note for note in table.notes)


def test_boxes_of_unknown_names_are_an_error(tmp_path):
    with pytest.raises(LvtuneError, match=r"boxes of 'other\.png', which is no picture at hand"):
        own(tmp_path, {"other.png": [[1, 2, 30, 40]]})
