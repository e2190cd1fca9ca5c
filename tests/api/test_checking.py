"""``check-data``: finds each of the planted faults in a sound data set, and none in the sound one."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest
from own_files import draw_pictures, mice, write

from lvtune.cli.main import main


@pytest.fixture
def folder(tmp_path):
    data = mice()
    draw_pictures(data, tmp_path)
    return tmp_path


def check(capsys, folder, data, *more):
    file = write(data, folder)
    code = main(["check-data", "--annotations", str(file), "--data", str(folder), "--json", *more])
    values = json.loads(capsys.readouterr().out)
    said = [
        text for part in (values.get("train", {}), values.get("test", {}), values) for text in part.get("warnings", [])
    ]
    return code, values, said


def test_the_sound_set_has_no_fault(folder, capsys):
    code, values, said = check(capsys, folder, mice())
    assert (code, values["ok"], said, values["near_duplicates"]["count"]) == (0, True, [], 0)
    assert values["train"]["in_words"] == [
        "mirror pairs: left_ear and right_ear, left_hip and right_hip",
        "OKS sigmas: nose 0.026, left_ear 0.035, right_ear 0.035, left_hip 0.107, right_hip 0.107; 0.079 for tail",
    ]


def remove(folder, data):
    (folder / "mouse03.png").unlink()


def cut(folder, data):
    file = folder / "mouse03.png"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def damage(folder, data):
    file = folder / "mouse03.png"
    whole = bytearray(file.read_bytes())
    whole[60:120] = b"\0" * 60
    file.write_bytes(whole)


def reshape(folder, data):
    draw_pictures({"images": data["images"][2:3]}, folder, (240, 320))


def resize(folder, data):
    draw_pictures({"images": data["images"][2:3]}, folder, (640, 480))


def swap(folder, data):
    points = np.reshape(data["annotations"][2]["keypoints"], (-1, 3))
    data["annotations"][2]["keypoints"] = points[[0, 2, 1, 4, 3, 5]].reshape(-1).tolist()


def swap_one_pair(folder, data):
    points = np.reshape(data["annotations"][2]["keypoints"], (-1, 3))
    data["annotations"][2]["keypoints"] = points[[0, 2, 1, 3, 4, 5]].reshape(-1).tolist()


def twice(folder, data):
    data["annotations"].append({**data["annotations"][2], "id": 77})


def leave_picture(folder, data):
    data["annotations"][2]["keypoints"][0] = 330.0


def move_box(folder, data):
    for item in data["annotations"]:
        item["bbox"] = [item["bbox"][0], item["bbox"][1], 25, 25]


def corners(folder, data):
    for item in data["annotations"]:
        x, y, w, h = item["bbox"]
        item["bbox"] = [x, y, x + w, y + h]


def never(folder, data):
    for item in data["annotations"]:
        item["keypoints"][15:] = [0, 0, 0]


def rename(folder, data):
    data["categories"][0]["keypoints"] = list("ABCDEF")


def lone(folder, data):
    data["categories"][0]["keypoints"][4] = "back"


def collapse(folder, data):
    data["annotations"][2]["keypoints"] = [100, 100, 2] * 6
    data["annotations"][2]["bbox"] = [60, 60, 80, 80]


def tiny(folder, data):
    data["annotations"][2]["bbox"] = [*data["annotations"][2]["keypoints"][:2], 5, 5]


def copy_across(folder, data):
    """A test picture again among those to tune on, lighter and stored with loss."""
    picture = cv2.imread(str(folder / "mouse03.png"))
    for number in range(1, 21):
        if number != 3:
            bright = cv2.convertScaleAbs(picture, alpha=1.0, beta=6)
            cv2.imwrite(str(folder / f"mouse{number:02}.png"), bright)


def zero_area(folder, data):
    data["annotations"][2]["area"] = 0


def odd_visibility(folder, data):
    data["annotations"][2]["keypoints"][2] = 0.4


FAULTS = [
    (remove, "1 of .* pictures are missing: mouse03.png", 1),
    (cut, "1 of .* pictures cannot be read: .*mouse03.png: a truncated PNG", 1),
    (damage, "1 of .* pictures cannot be read: .*mouse03.png", 1),
    (reshape, "1 of .* pictures are of another size than annotated.*mouse03.png: 240x320, annotated 320x240", 1),
    (resize, "1 of 20 pictures is larger or smaller than annotated", 0),
    (swap, r"1 of .* instances may have left and right swapped: mouse03.png \(left_ear and right_ear, left_hip", 0),
    (swap_one_pair, r"1 of .* instances may have left and right swapped: mouse03.png \(left_ear and right_ear\)", 0),
    (twice, "1 of .* instances are annotated twice: mouse03.png", 0),
    (leave_picture, "1 of 120 labelled key points lies outside of the picture", 0),
    (move_box, "labelled key points lie outside their box", 0),
    (corners, "annotated boxes read as corners", 0),
    (never, "never labelled: tail", 0),
    (rename, "pictures are not flipped.* no left and right in the key point names", 0),
    (lone, "pictures are not flipped.* left_hip without a key point of the other side", 0),
    (collapse, "1 of .* instances have all key points in one place: mouse03.png", 0),
    (tiny, "1 of .* instances have a box smaller than 8 pixels: mouse03.png", 0),
    (copy_across, "of 4 test pictures look like a train picture", 0),
    (zero_area, "1 annotation with an impossible `area`", 0),
    (odd_visibility, "1 key point with a visibility other than 0, 1, 2", 0),
]


@pytest.mark.parametrize(("plant", "word", "code"), FAULTS, ids=[plant.__name__ for plant, _, _ in FAULTS])
def test_planted_faults_are_found(folder, capsys, plant, word, code):
    data = mice()
    plant(folder, data)
    got, values, said = check(capsys, folder, data)
    assert any(re.search(word, text) for text in said), said
    assert (got, values["ok"]) == (code, not code)


def test_at_least_ten_faults_are_tried():
    assert len(FAULTS) >= 10


def test_the_sheet_shows_boxes_points_and_both_sides(folder, capsys):
    out = folder / "sheets"
    code, values, _ = check(capsys, folder, mice(), "--out", str(out))
    assert code == 0 and values["train"]["sheet"].startswith(str(out / "train.png"))
    sheet = cv2.imread(str(out / "train.png"))[..., ::-1]
    from lvtune.viz.overlay import LEFT, MIDDLE, RIGHT

    for colour in (LEFT, RIGHT, MIDDLE):
        assert (sheet == colour).all(-1).sum() > 100


def test_without_a_readable_picture_there_is_no_sheet(tmp_path, capsys):
    code, values, _ = check(capsys, tmp_path, mice(), "--out", str(tmp_path / "sheets"))
    assert code == 1 and values["train"]["sheet"] is None
