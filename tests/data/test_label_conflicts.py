"""Labels that contradict each other are found; noise, other people and other pictures are none."""

import copy

import numpy as np
import pytest
from own_files import draw_pictures, mice, write

from lvtune.data.label_conflicts import label_conflict
from lvtune.data.table import read_coco


def twice(shift: float, *, box: float = 0.0, share: float = 1.0) -> dict:
    """Mice, of which some are labelled again under another category: one point is ``shift`` pixels further right."""
    data = mice(10)
    data["categories"].append({**data["categories"][0], "id": 2, "name": "other"})
    for note in data["annotations"][: round(share * len(data["annotations"]))]:
        again = copy.deepcopy(note)
        points = np.array(again["keypoints"], float).reshape(-1, 3)
        points[0, 0] += shift
        again |= {"id": 1000 + note["id"], "category_id": 2, "keypoints": points.ravel().tolist()}
        again["bbox"][0] += box
        data["annotations"].append(again)
    return data


def found(data: dict, tmp_path):
    draw_pictures(data, tmp_path)
    return label_conflict(read_coco(write(data, tmp_path), tmp_path))


def test_another_place_of_a_point_is_a_conflict(tmp_path):
    conflict = found(twice(20), tmp_path)
    assert conflict is not None
    assert (conflict.instances, conflict.total) == (20, 20)
    assert conflict.categories == ("mouse", "other")


@pytest.mark.parametrize("options", [{"shift": 0.5}, {"shift": 20, "box": 30}, {"shift": 20, "share": 0}])
def test_noise_other_instances_and_one_convention_are_none(options, tmp_path):
    assert found(twice(**options), tmp_path) is None


def test_few_are_none(tmp_path):
    data = twice(20, share=0.1)
    for number in range(100, 140):  # 2 of 51
        image, note = dict(data["images"][-1]), copy.deepcopy(data["annotations"][0])
        data["images"].append({**image, "id": number, "file_name": f"more{number}.png"})
        data["annotations"].append({**note, "id": 5000 + number, "image_id": number})
    assert found(data, tmp_path) is None


def test_hidden_points_do_not_count(tmp_path):
    data = twice(20)
    for note in data["annotations"]:
        note["keypoints"][2] = 0
    assert found(data, tmp_path) is None
