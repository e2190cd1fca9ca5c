"""Box files of every form, as tools write them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lvtune.core.errors import DataError
from lvtune.data.box_files import find_pictures, parse_boxes, read_box_file

BOX = [1.0, 2.0, 30.0, 40.0]
RESULTS = [{"image_id": 7, "category_id": 1, "bbox": BOX, "score": 0.9},
           {"image_id": 7, "category_id": 18, "bbox": BOX, "score": 0.8}]  # fmt: skip
ANNOTATIONS = {
    "images": [{"id": 7, "file_name": "a/007.png"}, {"id": 8, "file_name": "a/008.png"}],
    "annotations": [{"image_id": 7, "category_id": 4, "bbox": BOX}, {"image_id": 7, "iscrowd": 1, "bbox": BOX}],
    "categories": [{"id": 4, "name": "mouse"}],
}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("content", "pictures", "classes"),
    [
        (RESULTS, (7, 7), ("person", "dog")),
        (ANNOTATIONS, (7,), ("mouse",)),
        ({"a.png": [BOX, BOX], "b.png": []}, ("a.png", "a.png"), (None, None)),
        ({"a.png": BOX}, ("a.png",), (None,)),
    ],
)
def test_every_form_is_read_with_and_without_a_byte_order_mark(content, pictures, classes, mark, tmp_path):
    (tmp_path / "boxes.json").write_bytes(mark + json.dumps(content).encode())
    found = read_box_file(tmp_path / "boxes.json")
    assert (found.pictures, found.classes) == (pictures, classes)
    assert (found.boxes == BOX).all() and len(found.scores) == len(pictures)


def test_ids_counted_from_0_are_those_of_yolo():
    rows = [{"image_id": "a", "category_id": i, "bbox": BOX} for i in (0, 16, 79)]
    assert parse_boxes(rows).classes == ("person", "dog", "toothbrush")
    assert parse_boxes(rows[1:2]).classes == ("bird",)


@pytest.mark.parametrize(
    "content",
    [3, "text", [1], [{"bbox": BOX}], [{"image_id": 1}], [{"image_id": None, "bbox": BOX}], {"a.png": "box"},
     {"a.png": [[1, 2, 3]]}, {"a.png": [[1, 2, 3, "x"]]}, {"a.png": [[1, 2, 3, float("nan")]]},
     [{"image_id": 1, "bbox": BOX, "score": "high"}], {"images": [{"id": 1}], "annotations": []}],
)  # fmt: skip
def test_faults_are_told(content):
    with pytest.raises(DataError) as error:
        parse_boxes(content, "boxes.json")
    assert "boxes.json" in error.value.given and error.value.expected and error.value.fix


@pytest.mark.parametrize(
    ("key", "picture"),
    [
        ("b.png", "in/a/b.png"),
        ("a/b.png", "in/a/b.png"),
        ("a\\b.png", "in/a/b.png"),
        ("./a/b", "in/a/b.png"),
        ("b", "in/a/b.png"),
        (12, "in/000000000012.jpg"),
        ("caf\u0065\u0301.png", "in/caf\u00e9.png"),
    ],
)
def test_a_picture_is_found_by_the_names_that_tools_write(key, picture):
    file = parse_boxes([{"image_id": key, "bbox": BOX}])
    path = Path(picture)
    assert find_pictures(file, [path], {path: path.relative_to("in")})[path].tolist() == [0]


def test_an_annotation_file_is_found_by_its_file_names():
    first, second = Path("in/a/007.png"), Path("in/a/008.png")
    found = find_pictures(parse_boxes(ANNOTATIONS), [first, second], {})
    assert found[first].tolist() == [0] and not len(found[second])


def test_one_name_for_two_pictures_is_told():
    files = [Path("in/a/0.png"), Path("in/b/0.png")]
    roots = {file: file.relative_to("in") for file in files}
    with pytest.raises(DataError, match=r"fits in/a/0.png and in/b/0.png.*write the folder"):
        find_pictures(parse_boxes({"0.png": [BOX]}), files, roots)
    found = find_pictures(parse_boxes({"a/0.png": [BOX], "b/0.png": [BOX, BOX]}), files, roots)
    assert [len(found[file]) for file in files] == [1, 2]
    assert found[files[1]].dtype == np.dtype(int)
