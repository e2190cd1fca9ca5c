"""`--find FILE`: COCO annotations, boxes that look like corners, boxes that leave their picture."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from tiny import tiny_base

import lvtune

PLAIN = {"flip_test": False, "drawings": False}


@pytest.fixture
def folder(tmp_path):
    """Two pictures of 100 x 80 pixels."""
    (tmp_path / "in").mkdir()
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"in/{name}.png"), np.full((80, 100, 3), 90, np.uint8))
    return tmp_path / "in"


def written(folder, value):
    path = folder.parent / "boxes.json"
    path.write_text(json.dumps(value))
    return str(path)


def test_coco_annotations_find(folder):
    data = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 100, "height": 80},
            {"id": 9, "file_name": "b.png", "width": 100, "height": 80},
        ],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 1, "bbox": [10, 10, 30, 40], "iscrowd": 0},
            {"id": 2, "image_id": 9, "category_id": 1, "bbox": [50, 20, 40, 50], "iscrowd": 0},
            {"id": 3, "image_id": 7, "category_id": 1, "bbox": [5, 6, 70, 60], "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "person"}],
    }  # fmt: skip
    poses = lvtune.predict(folder, base=tiny_base(), find=written(folder, data), **PLAIN)
    found = [(pose.image.rsplit("/")[-1], tuple(pose.bbox)) for pose in poses]
    assert found == [("a.png", (5, 6, 70, 60)), ("b.png", (10, 10, 30, 40)), ("b.png", (50, 20, 40, 50))]


def test_corners_and_boxes_that_leave_their_picture_are_told(folder):
    corners = {"a.png": [[60, 40, 95, 75]], "b.png": [[50, 30, 90, 70]]}
    poses = lvtune.predict(folder, base=tiny_base(), find=written(folder, corners), **PLAIN)
    assert [tuple(pose.bbox) for pose in poses] == [(60, 40, 35, 35), (50, 30, 40, 40)]
    assert any("corners" in note for note in poses.notes), poses.notes
    leaving = {"a.png": [[90, 70, 30, 30]], "b.png": [[10, 10, 20, 20]]}
    poses = lvtune.predict(folder, base=tiny_base(), find=written(folder, leaving), **PLAIN)
    assert tuple(poses[0].bbox) == (90, 70, 10, 10)
    assert any("1 box reaches beyond its picture" in note for note in poses.notes), poses.notes
