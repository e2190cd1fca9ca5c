"""A user's own pictures: parts, categories, the 80/20 split, and every way to name them wrongly."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
import pytest

from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError
from lvtune.domains import custom_domain
from lvtune.language import get_bank

NAMES = ["left_shoulder", "right_shoulder", "left_hip", "right_hip"]


def write(path, count, *, first=0, names=NAMES, categories=()):
    """A COCO-style file of ``count`` pictures with two persons in the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": i, "file_name": f"p{i:03}.png", "width": 40, "height": 60} for i in range(first, first + count)]
    for image, category in zip(images, categories, strict=False):
        image["category"] = category
    owners = [images[0], *images]
    notes = [
        {"id": i, "image_id": image["id"], "category_id": 1, "bbox": [2, 2, 30, 50], "area": 1500,
         "iscrowd": 0, "keypoints": [10, 10, 2] * len(names), "num_keypoints": len(names)}
        for i, image in enumerate(owners)
    ]  # fmt: skip
    kind = {"id": 1, "name": "person", "keypoints": names, "skeleton": [[1, 2]]}
    path.write_text(json.dumps({"images": images, "annotations": notes, "categories": [kind]}))
    return path


def pictures(folder, numbers):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"p{number:03}.png"), np.zeros((60, 40, 3), np.uint8))


def test_one_file_is_split_by_picture(tmp_path):
    file = write(tmp_path / "mine.json", 20)
    domain = custom_domain(DataOptions(data=str(tmp_path), annotations=str(file)))
    train, test = (domain.open(part).table for part in ("train", "test"))
    ordered = sorted((f"p{i:03}.png" for i in range(20)), key=lambda n: hashlib.sha256(n.encode()).hexdigest())
    assert set(test.column("image")) == set(ordered[:4])
    assert set(train.column("image")) == set(ordered[4:])
    assert len(train) + len(test) == 21
    assert len(domain.open("all").table) == 21
    assert domain.open("test").name == "own pictures (20% of the pictures)"
    assert domain.open("train").name == "own pictures (80% of the pictures)"


def test_the_split_does_not_depend_on_the_order_of_the_file(tmp_path):
    file = write(tmp_path / "mine.json", 20)
    before = set(custom_domain(DataOptions(annotations=str(file))).open("test").table.column("image"))
    content = json.loads(file.read_text())
    content["images"].reverse()
    content["annotations"].reverse()
    file.write_text(json.dumps(content))
    assert set(custom_domain(DataOptions(annotations=str(file))).open("test").table.column("image")) == before


def test_skeleton_and_categories_come_from_the_file(tmp_path):
    file = write(tmp_path / "a.json", 5, categories=["ink painting", "pop art", "ink painting"])
    domain = custom_domain(DataOptions(data=str(tmp_path), annotations=str(file)))
    assert domain.get_skeleton().keypoints == tuple(NAMES)
    assert domain.categories == ("default", "ink_painting", "pop_art")
    assert domain.sentences == {
        "default": "a picture of a human",
        "ink_painting": "an ink painting of a human",
        "pop_art": "a picture of a human",
    }
    assert get_bank(domain.sentences).categories == domain.categories  # without a text encoder


def test_a_folder_of_parts(tmp_path):
    write(tmp_path / "annotations/train.json", 6)
    write(tmp_path / "annotations/test.json", 3, first=50)
    pictures(tmp_path / "images", range(6))
    domain = custom_domain(tmp_path)  # annotations/ and images/ are found
    assert [len(domain.open(part).table) for part in ("train", "val", "test")] == [7, 4, 4]
    assert domain.open("train").table.root == tmp_path / "images"
    named = custom_domain(DataOptions(data=str(tmp_path / "images"), annotations=str(tmp_path / "annotations")))
    assert named.open("train").table.image_path(0).is_file()


def test_a_folder_with_training_annotations_alone_is_split(tmp_path):
    write(tmp_path / "annotations/train.json", 10)
    domain = custom_domain(tmp_path)
    assert len(domain.open("train").table) + len(domain.open("test").table) == 11


def test_val_stands_in_for_test(tmp_path):
    write(tmp_path / "annotations/train.json", 4)
    write(tmp_path / "annotations/val.json", 2, first=9)
    assert custom_domain(tmp_path).open("test").name == "own pictures (val)"


def test_test_annotations(tmp_path):
    file, other = write(tmp_path / "a.json", 4), write(tmp_path / "b.json", 2, first=30)
    domain = custom_domain(DataOptions(annotations=str(file), test_annotations=str(other)))
    assert [len(domain.open(part).table) for part in ("train", "test")] == [5, 3]


def test_a_known_skeleton_picks_its_key_points(tmp_path):
    names = ["nose", *NAMES]
    file = write(tmp_path / "a.json", 4, names=names)
    assert custom_domain(DataOptions(annotations=str(file))).get_skeleton().keypoints == tuple(names)
    with pytest.raises(LvtuneError):
        custom_domain(DataOptions(annotations=str(file), skeleton="lsp-14"))
    with pytest.raises(LvtuneError, match="unknown skeleton"):
        custom_domain(DataOptions(annotations=str(file), skeleton="lsp-15"))


def fault(tmp_path, data, part="train"):
    with pytest.raises(LvtuneError) as error:
        custom_domain(data).open(part)
    assert all((error.value.given, error.value.expected, error.value.fix))
    return str(error.value)


def test_faults(tmp_path):
    write(tmp_path / "one.json", 1)
    write(tmp_path / "parts/train.json", 3)
    write(tmp_path / "parts/test.json", 3, names=["nose", "neck"])
    write(tmp_path / "tested/test.json", 3)
    (tmp_path / "empty").mkdir()
    at = lambda name, **more: DataOptions(annotations=str(tmp_path / name), **more)  # noqa: E731
    assert "without annotations" in fault(tmp_path, DataOptions())
    assert "no labels were recognised" in fault(tmp_path, DataOptions(data=str(tmp_path / "empty")))
    assert "without annotations" in fault(tmp_path, None)
    assert "no annotation file" in fault(tmp_path, at("none.json"))
    assert "without train.json" in fault(tmp_path, at("empty"))
    assert "no folder of pictures" in fault(tmp_path, at("one.json", data=str(tmp_path / "gone")))
    assert "one picture" in fault(tmp_path, at("one.json"))
    assert "other key points" in fault(tmp_path, at("parts"))
    assert "annotations of the part train" in fault(tmp_path, at("tested"))
