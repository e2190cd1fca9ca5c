"""Every fault of a user's annotation file is one error of three parts that names it."""

from __future__ import annotations

import copy
import json
import random

import pytest

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import COCO_17, LSP_14
from lvtune.data.table import read_coco


def whole():
    """A small sound file: two key points, two images, three persons."""
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 100, "height": 80} for n in (1, 2)]
    annotations = [
        {"id": n, "image_id": 1 + n // 3, "category_id": 1, "iscrowd": 0, "area": 50.0, "num_keypoints": 2,
         "bbox": [10, 10, 30, 40], "keypoints": [12, 13, 2, 20, 30, 1]}
        for n in (1, 2, 3)
    ]  # fmt: skip
    categories = [{"id": 1, "name": "pet", "keypoints": ["head", "tail"], "skeleton": [[1, 2]]}]
    return {"images": images, "annotations": annotations, "categories": categories}


def read(data, folder, **options):
    path = folder / "annotations.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return read_coco(path, folder, cache_dir=folder / "cache", **options)


def refused(word, data, folder, **options):
    with pytest.raises(LvtuneError) as error:
        read(data, folder, **options)
    assert word in error.value.given
    assert error.value.expected and error.value.fix
    assert not (folder / "cache").exists()  # nothing of a bad file is kept
    return error.value


def test_the_sound_file_is_read(tmp_path):
    assert len(read(whole(), tmp_path)) == 3


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not JSON"),
        ('{"images": [', "not JSON"),
        ("[" * 200_000, "not JSON"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "a JSON list"),
        ("3", "a JSON int"),
        ("{}", "without `images`"),
    ],
)
def test_files_that_are_no_annotations(text, word, tmp_path):
    error = refused(word, text, tmp_path)
    assert "annotations.json" in error.given and len(error.given) < 400


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xd8\xff\xe0\x00")
    with pytest.raises(LvtuneError, match="not JSON"):
        read_coco(tmp_path / "a.json", tmp_path, cache_dir=tmp_path)


def test_paths_that_are_wrong(tmp_path):
    read(whole(), tmp_path)
    with pytest.raises(LvtuneError, match="no annotation file at"):
        read_coco(tmp_path / "none.json", tmp_path)
    with pytest.raises(LvtuneError, match="a folder"):
        read_coco(tmp_path, tmp_path)
    with pytest.raises(LvtuneError, match="no folder of pictures at"):
        read_coco(tmp_path / "annotations.json", tmp_path / "pictures")


def image(**change):
    return lambda d: d["images"][0].update(change)


def person(**change):
    return lambda d: d["annotations"][0].update(change)


def category(**change):
    return lambda d: d["categories"][0].update(change)


def drop(section, field):
    return lambda d: d[section][0].pop(field)


FAULTS = [
    (lambda d: d.pop("images"), "without `images`"),
    (lambda d: d.pop("annotations"), "without `annotations`"),
    (lambda d: d.pop("categories"), "without `categories`"),
    (lambda d: d.update(images=[]), "no images"),
    (lambda d: d.update(annotations=[]), "no annotations"),
    (lambda d: d.update(categories=[]), "no categories"),
    (lambda d: d.update(images={"1": {}}), "not a list of objects"),
    (lambda d: d.update(annotations=[1, 2]), "not a list of objects"),
    (drop("images", "id"), "without `id`"),
    (drop("images", "file_name"), "without `file_name`"),
    (drop("images", "width"), "without `width`"),
    (image(height=None), "without `height`"),
    (image(height=0), "of size 100x0"),
    (image(width=-5), "of size -5x80"),
    (image(width="wide"), "size of image 1.jpg"),
    (image(width=1e300), "of size"),
    (image(id=2), "image id 2 twice"),
    (image(id="one"), "id of image"),
    (image(id=2**70), "id of image"),
    (person(image_id=77), "of image 77"),
    (person(image_id=None), "image_id"),
    (person(image_id=[1]), "image_id"),
    (person(category_id="pet"), "category_id"),
    (person(id="first"), "id of an annotation"),
    (person(keypoints=[1, 2, 2]), "with 1 key point"),
    (person(keypoints=[1, 2, 2, 3]), "with 4 numbers"),
    (person(keypoints=[1, 2, 2] * 3), "with 3 key points"),
    (person(keypoints=[1, 2, 2, 3, float("inf"), 2]), "`keypoints`"),
    (person(keypoints=["a"] * 6), "`keypoints`"),
    (person(keypoints="here"), "`keypoints`"),
    (person(keypoints=[1, 2, 2, None, 4, 2]), "`keypoints`"),
    (person(keypoints=[1, 2, 2, 3, 4, "seen"]), "`keypoints`"),
    (person(keypoints=[1, 2, 2, 1e30, 4, 2]), "1 annotation of"),
    (lambda d: d["annotations"][1].update(keypoints=[1, 2, 2]), "with 3 key point values"),
    (drop("categories", "keypoints"), "name no key points"),
    (category(keypoints=[]), "name no key points"),
    (category(keypoints="head"), "name no key points"),
    (category(keypoints=["head", "head"]), "two key points named 'head'"),
    (category(keypoints=["head", "body", "tail"]), "its category with 3"),
    (category(id=None), "id of a category"),
    (lambda d: d["categories"].append({"id": 2, "keypoints": ["fin"]}), "different key points"),
]


@pytest.mark.parametrize(("break_it", "word"), FAULTS, ids=[word for _, word in FAULTS])
def test_faults_in_the_file(break_it, word, tmp_path):
    data = whole()
    break_it(data)
    error = refused(word, data, tmp_path)
    assert len(error.given) < 400 and error.given != error.expected != error.fix


def everyone(**change):
    data = whole()
    for item in data["annotations"]:
        item.update(change)
    return data


def test_annotations_without_key_points(tmp_path):
    data = whole()
    for item in data["annotations"]:
        del item["keypoints"]
    refused("have no `keypoints`", data, tmp_path)
    refused("have no `keypoints_21`", whole(), tmp_path, keypoints_field="keypoints_21")


def test_nobody_left_is_an_error_that_says_why(tmp_path):
    refused(
        "3 of 3 annotations have a box of no size", everyone(bbox=[200, 10, 9, 9], keypoints=[150, 9, 2] * 2), tmp_path
    )
    refused("3 of 3 annotations have no visible key point", everyone(keypoints=[1, 1, 0] * 2), tmp_path)
    refused("3 of 3 annotations are crowds", everyone(iscrowd=1), tmp_path)
    refused("no annotation of a person", everyone(category_id=9), tmp_path)


def test_one_bad_person_is_skipped_and_counted(tmp_path):
    data = whole()
    data["annotations"][0].update(bbox=[200, 10, 9, 9], keypoints=[150, 9, 2] * 2)
    data["annotations"][1].update(keypoints=[5, 5, 0, 6, 6, 0])
    table = read(data, tmp_path)
    assert len(table) == 1
    assert table.notes[:2] == [
        "1 of 3 annotations have a box of no size inside the image: skipped",
        "1 of 3 annotations have no visible key point: skipped",
    ]


def test_persons_to_predict_need_no_key_points(tmp_path):
    data = whole()
    for item in data["annotations"]:
        del item["keypoints"], item["num_keypoints"]
    table = read(data, tmp_path, require_keypoints=False)
    assert len(table) == 3 and not table.column("keypoints").any()


def test_boxes_are_clipped_and_a_missing_area_is_the_boxs(tmp_path):
    data = everyone(bbox=[-10, 60, 50, 40])
    for item in data["annotations"]:
        del item["area"]
    table = read(data, tmp_path)
    assert table[0].bbox.tolist() == [0, 60, 40, 20] and table[0].area == 800
    assert "3 annotations without `area`: the area of the box is taken" in table.notes


def test_nested_key_points_are_read(tmp_path):
    table = read(everyone(keypoints=[[12, 13, 2], [20, 30, 1]]), tmp_path)
    assert table[0].keypoints.tolist() == [[12, 13, 2], [20, 30, 1]]


@pytest.mark.parametrize("skeleton", [COCO_17, LSP_14])
def test_another_skeleton_is_told_by_name(skeleton, tmp_path):
    refused("without the key points", whole(), tmp_path, skeleton=skeleton)


def test_random_damage_is_never_a_traceback(tmp_path):
    """Any value of the file replaced by any other: read, or refused with an LvtuneError."""
    draw = random.Random(0)
    numbers = [-1, 0, 1, 2.5, 1e308, 10**30, float("nan"), True]
    junk = [None, "", "x", [], [1], [[1, 2], [3]], {}, {"a": 1}, *numbers]

    def places(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield node, key
            if isinstance(node[key], dict | list):
                yield from places(node[key])

    outcomes = set()
    for _ in range(400):
        data = copy.deepcopy(whole())
        for _ in range(draw.choice([1, 1, 2])):
            node, key = draw.choice(list(places(data)))
            node[key] = draw.choice(junk)
        try:
            table = read(data, tmp_path)
            table.coco_ground_truth()
            outcomes.add(len(table))
        except LvtuneError as error:
            assert error.given and error.expected and error.fix
            outcomes.add("refused")
    assert {"refused", 3} <= outcomes
