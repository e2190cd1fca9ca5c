"""Labels that teach nothing are told before the first step."""

from __future__ import annotations

import numpy as np
import pytest
from own_files import sound, write

from lvtune.core.errors import DataError
from lvtune.data.signal_check import check_signal
from lvtune.data.table import read_coco

SIZE = (64, 48)


class Table:
    """Two columns and the names of the pictures."""

    def __init__(self, boxes, points):
        self.values = {"bbox": np.array(boxes, float), "keypoints": np.array(points, float)}
        self.values["image"] = np.array([f"{n}.png" for n in range(len(boxes))], dtype=object)

    def __len__(self):
        return len(self.values["bbox"])

    def column(self, name):
        return self.values[name]


def table(count=8):
    boxes = [[20, 30, 40, 50]] * count
    return Table(boxes, [[[30, 40, 2], [50, 70, 1], [0, 0, 0]]] * count)


def test_sound_labels_pass(tmp_path):
    assert check_signal(table(), SIZE) == []
    assert check_signal(read_coco(write(sound(), tmp_path), tmp_path, cache_dir=tmp_path), SIZE) == []


@pytest.mark.parametrize("value", [1e30, -1e9, np.nan, np.inf])
@pytest.mark.parametrize("where", ["bbox", "keypoints"])
def test_one_impossible_number_is_an_error(value, where):
    odd = table()
    odd.values[where][3].flat[0] = value
    with pytest.raises(DataError, match=r"1 of 8 samples .* no pixels of a picture: sample 3 \(3\.png\)"):
        check_signal(odd, SIZE)


@pytest.mark.parametrize("box", [[20, 30, 1e-9, 1e-9], [500, 500, 40, 50], [20, 30, 1e-9, 50], [-300, 0, 30, 30]])
def test_no_target_at_all_is_an_error_that_names_samples(box):
    odd = table()
    odd.values["bbox"][:] = box
    with pytest.raises(DataError, match=r"8 of 8 samples without a labelled key point in their crop: sample 0"):
        check_signal(odd, SIZE)


def test_all_unlabelled_is_an_error_and_a_few_are_counted():
    odd = table()
    odd.values["keypoints"][2, :, 2] = 0
    (note,) = check_signal(odd, SIZE)
    assert note.startswith("1 of 8 samples") and "sample 2 (2.png)" in note
    odd.values["keypoints"][..., 2] = 0
    with pytest.raises(DataError, match="8 of 8"):
        check_signal(odd, SIZE)


@pytest.mark.parametrize("side", [1e-9, 0.3])
def test_boxes_smaller_than_a_pixel_stop_the_reading(tmp_path, side):
    data = sound()
    for item in data["annotations"]:
        item["bbox"][2:] = [side, side]
    with pytest.raises(DataError, match=r"12 of 12 boxes of .* smaller than a pixel: annotation 1 of frame01\.png"):
        read_coco(write(data, tmp_path), tmp_path, cache_dir=tmp_path)


def test_one_such_box_is_made_of_its_points(tmp_path):
    data = sound()
    data["annotations"][0]["bbox"][2:] = [1e-9, 1e-9]
    found = read_coco(write(data, tmp_path), tmp_path, cache_dir=tmp_path)
    assert found[0].bbox[2] > 16 and any("1 annotation with a box of no size" in note for note in found.notes)
