"""One look at every picture: what is missing, broken, too large or of another size."""

from __future__ import annotations

import numpy as np
import pytest
from own_files import draw_pictures, sound, write

from lvtune.core.errors import DataError
from lvtune.data.mixed import MixedTable
from lvtune.data.picture_check import check_pictures, require_pictures
from lvtune.data.table import read_coco


@pytest.fixture
def folder(tmp_path):
    draw_pictures(sound(), tmp_path)
    return tmp_path


def table(folder, **options):
    return read_coco(write(sound(), folder), folder, cache_dir=folder / "cache", **options)


def test_sound_pictures(folder):
    found = check_pictures(table(folder))
    assert found.is_sound and (found.pictures, found.looked_at) == (6, 6) and found.sentences() == []
    require_pictures(table(folder), None)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


FAULTS = [
    (lambda path: path.unlink(), "missing", "1 of 6 pictures are missing: frame02.png"),
    (cut, "broken", "1 of 6 pictures cannot be read: .*truncated PNG"),
    (lambda path: path.write_bytes(b""), "broken", "an empty file"),
    (lambda path: path.write_text("<html>404</html>"), "broken", "not an image"),
    (lambda path: path.write_bytes(path.read_bytes()[:30]), "broken", "truncated|not an image"),
]


@pytest.mark.parametrize(("harm", "kind", "said"), FAULTS)
def test_faults_are_named(folder, harm, kind, said):
    harm(folder / "frame02.png")
    found = check_pictures(table(folder))
    assert len(getattr(found, kind)) == 1 and not found.is_sound
    with pytest.raises(DataError, match=said):
        require_pictures(table(folder))


def test_another_shape_is_an_error_and_another_scale_is_not(folder):
    draw_pictures({"images": sound()["images"][:1]}, folder, (240, 320))
    with pytest.raises(
        DataError, match=r"1 of 6 pictures are of another size .*frame01.png: 240x320, annotated 320x240"
    ):
        require_pictures(table(folder))
    draw_pictures({"images": sound()["images"][:1]}, folder, (640, 480))
    require_pictures(table(folder))
    with pytest.raises(DataError, match="640x480, annotated 320x240"):
        require_pictures(table(folder, published=True))


def test_a_large_picture_is_told_before_it_is_read(folder):
    small = table(folder)
    small.max_pixels = 1000
    with pytest.raises(DataError, match=r"6 of 6 pictures are too large: frame01.png: 320x240.*--max-pixels"):
        require_pictures(small)


def test_truncated_jpegs_with_bytes_behind_their_end_are_sound(tmp_path):
    data = sound()
    for image in data["images"]:
        image["file_name"] = image["file_name"].replace(".png", ".jpg")
    draw_pictures(data, tmp_path)
    first, second = tmp_path / "frame01.jpg", tmp_path / "frame02.jpg"
    first.write_bytes(first.read_bytes() + b"\0" * 10_000)
    second.write_bytes(second.read_bytes()[:-300])
    found = check_pictures(read_coco(write(data, tmp_path), tmp_path, cache_dir=tmp_path))
    assert [text.split(":")[0].rpartition("/")[2] for text in found.broken] == ["frame02.jpg"]


def test_the_limit_selections_and_mixtures(folder):
    whole = table(folder)
    assert check_pictures(whole, limit=2).looked_at == 2
    (folder / "frame06.png").unlink()
    last = np.flatnonzero(whole.column("image") == "frame06.png")
    assert check_pictures(whole.select(range(4))).is_sound
    assert check_pictures(whole.select(last)).missing == ["frame06.png"]
    assert len(check_pictures(MixedTable({"a": whole, "b": whole})).missing) == 1
