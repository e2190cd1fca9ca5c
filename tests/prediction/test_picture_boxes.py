"""Which boxes of a file `predict` uses, and what it says of the rest."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import AP10K_17, COCO_17, HAND_21, LSP_14, Skeleton
from lvtune.prediction.box_choice import BoxChoice
from lvtune.prediction.picture_boxes import is_of_people, read_boxes

MOUSE = Skeleton("mouse", ("snout", "tail"), (0.1, 0.1))


@pytest.fixture
def files(tmp_path):
    """Three pictures of 100 x 80 pixels."""
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        cv2.imwrite(str(path), np.zeros((80, 100, 3), np.uint8))
    return paths


def row(picture, box, score=0.9, category=1):
    return {"image_id": picture, "bbox": box, "score": score, "category_id": category}


def test_threshold_and_class_leave_boxes_out_and_say_so(files):
    rows = [row(0, [1, 2, 30, 40]), row(0, [5, 5, 20, 20], 0.2), row(1, [1, 1, 9, 9], 0.9, 18), row(1, [2, 2, 20, 30])]
    found = read_boxes(rows, files, COCO_17)
    assert [len(found.of[file]) for file in files] == [1, 1, 0]
    assert found.of[files[1]].tolist() == [[2, 2, 20, 30]] and found.scores[files[0]].tolist() == [0.9]
    assert found.empty == (files[2],) and found.image_ids == {files[0]: 0, files[1]: 1}
    said = " ".join(found.notes)
    assert "1 box of other classes left out (dog 1)" in said and "score below 0.3" in said
    assert "1 of 3 pictures has no box: no pose (2.png)" in said
    both = read_boxes(rows, files, COCO_17, choice=BoxChoice(threshold=0, box_class="all"))
    assert [len(both.of[file]) for file in files] == [2, 2, 0]


@pytest.mark.parametrize("name", ["dog", "18", "Dog"])
def test_a_class_is_named_or_numbered(name, files):
    rows = [row(0, [1, 2, 30, 40]), row(1, [1, 1, 9, 9], 0.9, 18)]
    found = read_boxes(rows, files, COCO_17, choice=BoxChoice(box_class=name))
    assert [len(found.of[file]) for file in files] == [0, 1, 0]


def test_animals_get_every_class_and_people_alone_persons(files):
    rows = [row(0, [1, 2, 30, 40], category=18)]
    assert len(read_boxes(rows, files, MOUSE).of[files[0]]) == 1
    assert read_boxes(rows, files, COCO_17).empty == tuple(files)
    assert [is_of_people(one) for one in (COCO_17, LSP_14, AP10K_17, HAND_21, MOUSE)] == [True, True] + [False] * 3
    with pytest.raises(LvtuneError, match=r"class 'cat'.*expected one of dog"):
        read_boxes(rows, files, COCO_17, choice=BoxChoice(box_class="cat"))


@pytest.mark.parametrize(
    ("boxes", "first"),
    [
        ([[60, 40, 90, 70], [50, 30, 99, 79]], [60, 40, 30, 30]),  # corners
        ([[60, 40, 30, 30], [50, 30, 40, 40]], [60, 40, 30, 30]),  # sizes
        ([[70, 50, 99, 75], [60, 60, 95, 79], [0, 0, 10, 10]], [70, 50, 29, 25]),
    ],
)
def test_corners_are_told_from_sizes_as_for_evaluate(boxes, first, files):
    found = read_boxes({"0.png": boxes}, files[:1], COCO_17)
    assert found.of[files[0]][0].tolist() == first
    assert any("read as corners" in note for note in found.notes) == (boxes[0] != first)


def test_a_named_format_is_taken_and_boxes_are_clipped(files):
    found = read_boxes({"0.png": [[60, 40, 90, 70]]}, files[:1], COCO_17, choice=BoxChoice(box_format="xywh"))
    assert found.of[files[0]].tolist() == [[60, 40, 40, 40]]


@pytest.mark.parametrize("box", [[10, 10, 0, 50], [10, 10, 5, -3], [10, 10, 10, 10.0 - 20]])
def test_a_box_without_area_is_told(box, files):
    with pytest.raises(LvtuneError, match="above 0"):
        read_boxes({"0.png": [box]}, files[:1], COCO_17)


def test_a_file_of_other_pictures_is_told_and_a_frame_without_a_box_is_not(files, tmp_path):
    (tmp_path / "boxes.json").write_text(json.dumps({"other.png": [[1, 2, 3, 4]]}))
    with pytest.raises(LvtuneError, match=r"no boxes for 0.png, 1.png.*such as other.png"):
        read_boxes(tmp_path / "boxes.json", files, COCO_17)
    found = read_boxes({"0.png": [], "1.png": [[1, 1, 5, 5]]}, files, COCO_17)
    assert found.empty == (files[0], files[2]) and found.count(files[0]) == 0
    nothing = read_boxes([], files, COCO_17)
    assert nothing.empty == tuple(files)


def test_whole_pictures_need_no_file(files):
    found = read_boxes("whole", files, COCO_17)
    assert found.of == dict.fromkeys(files) and found.notes == () and found.count(files[0]) == 1


@pytest.mark.parametrize(("turn", "fits"), [(1, "xywh"), (3, "xywh"), (6, "xyxy"), (8, "xyxy")])
def test_boxes_are_held_against_the_upright_picture(turn, fits, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / "a.jpg"
    Image.new("RGB", (90, 40)).save(path, exif=exif)
    # as sizes the box fits 90 x 40 pixels alone, as corners 40 x 90 alone
    found = read_boxes({"a.jpg": [[25, 2, 38, 35] if fits == "xywh" else [25, 60, 38, 85]]}, [path], COCO_17)
    assert any("read as corners" in note for note in found.notes) == (fits == "xyxy")


def test_a_broken_picture_is_told(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(LvtuneError, match="broken"):
        read_boxes({"broken.jpg": [[1, 1, 5, 5]]}, [path], COCO_17)
