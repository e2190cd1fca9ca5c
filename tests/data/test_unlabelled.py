"""Pictures without labels: a folder or a COCO file, and never a key point of it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TinyPictures
from tiny_hands import TinyHands
from videos import write_video

from lvtune.core.errors import DataError
from lvtune.data.skeletons import COCO_17
from lvtune.data.unlabelled import HiddenLabels, read_unlabelled


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "frames"
    (folder / "night").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.jpg", "night/c.png")):
        Image.new("RGB", (40 + number, 30), (10 * number, 80, 80)).save(folder / name)
    return folder


def coco(folder, file="labels.json", **changes):
    values = {
        "images": [
            {"id": 5, "file_name": "a.png"},
            {"id": 6, "file_name": "b.jpg"},
            {"id": 7, "file_name": "gone.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 3, "bbox": [1, 2, 20, 15], "keypoints": [3, 3, 2] * 4},
            {"id": 2, "image_id": 5, "category_id": 3, "bbox": [10, 2, 20, 15]},
            {"id": 3, "image_id": 5, "category_id": 3, "bbox": [10, 2, 0, 15]},
            {"id": 4, "image_id": 5, "category_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        ],
        "categories": [{"id": 3, "name": "cat", "keypoints": ["x", "y", "z", "w"]}],
    }  # fmt: skip
    path = folder / file
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps(values | changes))
    return path


def test_each_picture_of_a_folder_is_one_whole_instance(pictures):
    (pictures / "clip.mp4").write_bytes(b"0")
    table = read_unlabelled(pictures, COCO_17)
    assert [path.name for path in map(table.image_path, range(3))] == ["a.png", "b.jpg", "c.png"]
    assert table.column("bbox")[:, 2].tolist() == [40, 41, 42] and table.skeleton.keypoints == COCO_17.keypoints
    assert not table.column("keypoints").any() and table.picture(2).shape == (30, 42, 3)
    assert any("3 pictures without labels" in note for note in table.notes)
    assert any("clip.mp4" in note for note in table.notes)


@pytest.mark.parametrize("kept", [60, 0])
def test_pictures_that_cannot_be_read_are_left_out_and_counted(pictures, kept):
    whole = (pictures / "a.png").read_bytes()
    (pictures / "a.png").write_bytes(whole[:kept])
    for given in (pictures, coco(pictures)):
        table = read_unlabelled(given, COCO_17)
        assert "a.png" not in {table.image_path(row).name for row in range(len(table))}
        total = 3 if given == pictures else 2
        assert table.notes[0].startswith(f"{total - 1} picture") and " without labels" in table.notes[0]
        assert any(f"1 of {total} pictures cannot be read and is left out (such as " in note for note in table.notes)
    for name in ("b.jpg", "night/c.png"):
        (pictures / name).write_bytes(b"")
    with pytest.raises(DataError):
        read_unlabelled(pictures, COCO_17)


@pytest.mark.parametrize("place", ["labels.json", "annotations/labels.json"])
def test_boxes_of_a_coco_file_are_used_and_its_key_points_are_not(pictures, place):
    table = read_unlabelled(coco(pictures, place), COCO_17)
    assert table.column("bbox").tolist() == [[1, 2, 20, 15], [10, 2, 20, 15], [0, 0, 41, 30]]
    assert table.column("keypoints").shape == (3, 17, 3) and not table.column("keypoints").any()
    assert any("1 of 3 pictures" in note for note in table.notes) and any(
        "1 annotation with a faulty box" in n for n in table.notes
    )
    assert any(note.startswith("1 annotation of a crowd (`iscrowd`): left out") for note in table.notes)


def test_the_same_pictures_have_the_same_fingerprint_and_others_another(pictures):
    one, two = read_unlabelled(pictures, COCO_17), read_unlabelled(pictures, COCO_17)
    assert one.fingerprint == two.fingerprint != read_unlabelled(coco(pictures), COCO_17).fingerprint


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere", "no file or folder"), ("clip.mp4", "empty"), ("empty", "without pictures"), ("list.json", "`images`"),
     ("gone.json", "none is there")],
)  # fmt: skip
def test_what_is_no_pool_is_told(pictures, name, said):
    (pictures / "empty").mkdir()
    (pictures / "clip.mp4").write_bytes(b"")
    (pictures / "list.json").write_text("[1, 2]")
    coco(pictures, "gone.json", images=[{"id": 1, "file_name": "other.png"}], annotations=[])
    with pytest.raises(DataError, match=said):
        read_unlabelled(pictures / name, COCO_17)


def test_frames_of_a_video_are_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path / "cache"))
    table = read_unlabelled(write_video(tmp_path / "mouse.mp4", 20), COCO_17, 5)
    assert len(table) == 5 and table.column("bbox").tolist() == [[0, 0, 64, 48]] * 5
    assert table.picture(4).shape == (48, 64, 3) and any("one frame of 4" in note for note in table.notes)


@pytest.mark.parametrize("data", [TinyPictures(4), TinyHands(4)])
def test_samples_lose_their_labels_and_nothing_else(data):
    hidden = HiddenLabels(data)
    hidden.set_epoch(2)
    for i in range(3):
        own, found = data[i], hidden[i]
        assert not found["visible"].any() and not found["keypoints"].any() and own["visible"].any()
        assert "xyz" not in found or torch.isnan(found["xyz"]).all()
        assert torch.equal(own["pixel_values"], found["pixel_values"]) and own.keys() == found.keys()
    assert len(hidden) == 4 and np.isfinite(found["pixel_values"].numpy()).all()
