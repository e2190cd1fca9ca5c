"""check_data: what a data set holds, and its faults."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from lvtune.data.check import check_data
from lvtune.data.table import read_coco

SAMPLES = Path(__file__).parents[1] / "samples"
ANNOTATIONS = SAMPLES / "HumanArt/annotations/validation_humanart.json"


def test_real_sample_with_one_picture_missing(tmp_path):
    found = check_data(read_coco(ANNOTATIONS, SAMPLES, cache_dir=tmp_path))
    assert (found["instances"], found["pictures"], found["pictures_read"]) == (4, 3, 3)
    assert found["categories"] == {"acrobatics": 2, "digital_art": 1, "garage_kits": 1}
    assert found["skeleton"] == {"name": "coco-17", "keypoints": 17}
    missing = "HumanArt/images/2D_virtual_human/digital_art/000000001648.jpg"
    assert found["pictures_missing"] == {"count": 1, "first": [missing]}
    assert found["pictures_of_other_size"]["count"] == found["pictures_broken"]["count"] == 0
    assert found["ok"] is False
    assert any(missing in text for text in found["warnings"])
    assert found["instances_without_torso"] == 1
    assert found["keypoints_labelled"]["left_knee"] == 75.0
    assert found["boxes"]["height"]["most"] >= found["boxes"]["height"]["median"]
    json.dumps(found)


def test_broken_and_resized_pictures_are_named(tmp_path):
    data = json.loads(ANNOTATIONS.read_text())
    folder = tmp_path / "set"
    for image in data["images"]:
        target = folder / image["file_name"]
        target.parent.mkdir(parents=True)
        source = SAMPLES / image["file_name"]
        if source.exists():
            shutil.copy(source, target)
        else:
            cv2.imwrite(str(target), np.zeros((7, 9, 3), np.uint8))
    half = folder / data["images"][1]["file_name"]
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    found = check_data(read_coco(ANNOTATIONS, folder, cache_dir=tmp_path))
    assert found["pictures_missing"]["count"] == 0
    assert found["pictures_broken"]["count"] == 1
    assert "garage_kits" in found["pictures_broken"]["first"][0]
    assert "9x7, annotated 1280x1750" in found["pictures_of_other_size"]["first"][0]
    assert found["ok"] is False


def test_a_sound_set_is_ok_and_the_limit_bounds_the_reading(tmp_path):
    data = json.loads((SAMPLES / "coco/annotations/person_keypoints_val2017.json").read_text())
    data["images"] = [i for i in data["images"] if i["id"] == 785]
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] == 785]
    data["annotations"][0]["keypoints"][0] = 700
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    table = read_coco(path, SAMPLES / "coco/val2017", cache_dir=tmp_path)
    found = check_data(table)
    assert found["ok"] and found["pictures_read"] == 1
    (warning,) = found["warnings"]
    assert warning.startswith("1 of 17 labelled key points lies outside of the picture, in 1 annotation (such as ")
    assert check_data(table, limit=0)["pictures_read"] == 0
