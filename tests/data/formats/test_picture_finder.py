import unicodedata

import numpy as np
import pytest
from label_samples import write_pictures

from lvtune.core.errors import DataError
from lvtune.data.formats.picture_finder import PictureFinder, picture_size
from lvtune.data.formats.project_builder import ProjectBuilder

MOVED = {
    "as it stands": "v1/a.png",
    "backslashes": "v1\\a.png",
    "drive": "C:\\Users\\me\\project\\v1\\a.png",
    "absolute": "/home/me/project/v1/a.png",
    "url": "https://example.org/data/v1/a.png?width=3",
    "upper case": "V1/A.PNG",
    "file url": "file:///home/me/v1/a.png",
}


@pytest.mark.parametrize("name", MOVED.values(), ids=MOVED)
def test_names_of_other_machines(tmp_path, name):
    write_pictures(tmp_path, ["v1/a.png", "v2/a.png"])
    assert PictureFinder([tmp_path]).find(name) == tmp_path / "v1/a.png"


def test_other_unicode_form(tmp_path):
    write_pictures(tmp_path, [unicodedata.normalize("NFD", "café/é.png")])
    found = PictureFinder([tmp_path]).find(unicodedata.normalize("NFC", "café/é.png"))
    assert found is not None and found.suffix == ".png"


def test_pictures_that_were_put_into_one_folder(tmp_path):
    write_pictures(tmp_path, ["all/a.png", "all/b.png"])
    finder = PictureFinder([tmp_path])
    assert finder.find("v1/a.png") == tmp_path / "all/a.png" and finder.moved == 1


def test_same_name_in_another_folder_is_another_picture(tmp_path):
    write_pictures(tmp_path, ["v1/b.png", "v2/a.png"])
    assert PictureFinder([tmp_path]).find("v1/a.png") is None
    write_pictures(tmp_path, ["v3/a.png"])
    assert PictureFinder([tmp_path]).find("a.png") is None  # which of two?


def test_two_labelled_pictures_and_one_file(tmp_path):
    write_pictures(tmp_path, ["all/a.png"])
    builder = ProjectBuilder("a tool", tmp_path, ["nose"], PictureFinder([tmp_path]))
    assert builder.picture("v1/a.png") == builder.picture("v1/a.png") == 0
    with pytest.raises(DataError, match=r"v1/a\.png and v2/a\.png"):
        builder.picture("v2/a.png")


def test_a_picture_that_is_missing_is_counted_once(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    builder = ProjectBuilder("a tool", tmp_path, ["nose"], PictureFinder([tmp_path]))
    for name in ("a.png", "v/b.png", "v\\b.png", "c.png", "v/b.png"):
        builder.add(builder.picture(name), np.array([[1, 2]]), np.array([2]))
    (note,) = [note for note in builder.finish().notes if "missing" in note]
    assert note.startswith("2 of 3 labelled pictures are missing") and note.endswith(": v/b.png, c.png")


def test_a_folder_that_is_not_looked_through(tmp_path):
    write_pictures(tmp_path, ["p/v/a.png", "p/v/b.png", "w/v/a.png"])
    finder = PictureFinder([tmp_path], but=tmp_path / "p")
    assert finder.find("v/a.png") == tmp_path / "w/v/a.png" and finder.find("p/v/b.png") is None


def test_points_of_a_picture_that_was_made_smaller(tmp_path):
    write_pictures(tmp_path, ["a.png", "b.png"])  # 96 x 64
    builder = ProjectBuilder("a tool", tmp_path, ["nose"], PictureFinder([tmp_path]))
    place = builder.picture("a.png", size=(192, 128))
    builder.add(place, np.array([[50, 20]]), np.array([2]), box=(10, 10, 80, 40))
    (item,) = builder.finish().instances
    assert item.keypoints.tolist() == [[25, 10]] and item.box == (5, 5, 40, 20)
    with pytest.raises(DataError, match="labelled at 64x96"):
        builder.picture("b.png", size=(64, 96))


def test_header_of_a_file_that_is_no_picture(tmp_path):
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(DataError, match="a whole picture"):
        picture_size(tmp_path / "a.png")
