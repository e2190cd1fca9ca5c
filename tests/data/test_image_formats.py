"""Pictures in every format: upright, of bounded size, from regular files alone."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from lvtune.core.errors import DataError
from lvtune.data import image_header
from lvtune.data.find_images import find_images, find_left_out, left_out_note
from lvtune.data.image_header import has_decoder, read_header
from lvtune.data.images import allow_pixels, read_image, read_reduced

LOSSLESS = ("PNG", "TIFF")
WITH_EXIF = [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "L"), ("WEBP", "RGB"), ("WEBP", "RGBA"), ("TIFF", "RGB"),
             ("TIFF", "RGBA"), ("JPEG", "RGB"), ("AVIF", "RGB"), ("AVIF", "RGBA")]  # fmt: skip


def quarters():
    """40 × 60: four colours, so that each of the eight orientations looks different."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30], picture[:20, 30:], picture[20:, :30], picture[20:, 30:] = (
        (250, 20, 20), (20, 250, 20), (20, 20, 250), (250, 250, 250),
    )  # fmt: skip
    return picture


def as_viewers_show(stored, orientation):
    """EXIF 2.3: where the stored first row and first column lie in the scene."""
    return {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).swapaxes(0, 1),
        8: np.rot90(stored),
    }[orientation]


def encoded(picture, kind, orientation=None, mode="RGB"):
    if not _can_write(kind):
        pytest.skip(f"this Pillow writes no {kind}")
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95}
    if orientation is not None:
        exif = Image.Exif()
        exif[274] = orientation
        options["exif"] = exif
    target = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(target, kind, **options)
    return target.getvalue()


def _can_write(kind):
    Image.init()
    return kind in Image.SAVE


def write(folder, data, name="picture"):
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize(("kind", "mode"), WITH_EXIF, ids=[f"{kind}-{mode}" for kind, mode in WITH_EXIF])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned_as_viewers_turn_it(tmp_path, kind, mode, orientation):
    path = write(tmp_path, encoded(quarters(), kind, orientation, mode))
    want = as_viewers_show(quarters(), orientation)
    if mode == "L":
        want = np.repeat(np.asarray(Image.fromarray(want.copy()).convert("L"))[..., None], 3, 2)
    got = read_image(path)
    assert got.shape == want.shape
    inner = [slice(4, -4), slice(4, -4)]
    error = np.abs(got[tuple(inner)].astype(int) - want[tuple(inner)])
    assert np.median(error) <= 6 and error.mean() < 12
    header = read_header(path.read_bytes())
    assert header.upright == (want.shape[1], want.shape[0])
    if kind != "AVIF":  # AVIF holds the turn in a box of its own
        assert header.orientation == orientation


@pytest.mark.parametrize("kind", ["GIF", "AVIF", "JPEG2000", "WEBP", "BMP", "PPM"])
def test_other_formats_are_read(tmp_path, kind):
    got = read_image(write(tmp_path, encoded(quarters(), kind)))
    assert got.shape == (40, 60, 3) and got.dtype == np.uint8
    assert np.abs(got[5:15, 5:25].astype(int) - (250, 20, 20)).max() < 30


def test_heic_is_read_with_its_package(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    got = read_image(write(tmp_path, encoded(quarters(), "HEIF")))
    assert got.shape == (40, 60, 3) and np.abs(got[5:15, 5:25].astype(int) - (250, 20, 20)).max() < 40


def test_heic_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40
    monkeypatch.setattr(image_header, "_register_heic", lambda: None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(DataError, match=r"HEIC, for which no decoder .*lvtune\[heic\]"):
        read_image(write(tmp_path, data))


def test_an_animation_gives_its_first_picture_and_clear_parts_are_white(tmp_path):
    first, second = (Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (60, 200))
    target = io.BytesIO()
    first.save(target, "GIF", save_all=True, append_images=[second])
    assert np.abs(read_image(write(tmp_path, target.getvalue())).astype(int) - 60).max() < 3
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    target = io.BytesIO()
    clear.save(target, "GIF")
    assert (read_image(write(tmp_path, target.getvalue())) == 255).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM"])
def test_the_header_knows_the_size_and_broken_ones_are_none(kind):
    data = encoded(quarters(), kind)
    header = read_header(data)
    assert (header.width, header.height) == (60, 40)
    assert read_header(data[:6]) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_pictures_over_the_limit_are_refused_before_they_are_decoded(tmp_path, kind, monkeypatch):
    path = write(tmp_path, encoded(quarters(), kind))
    monkeypatch.setattr("lvtune.data.images._decode", None)
    monkeypatch.setattr("lvtune.data.images._decode_plugin", None)
    with pytest.raises(DataError, match=r"of 60x40, 0 megapixels; expected at most 0.002 megapixels.*--max-pixels"):
        read_image(path, max_pixels=2000)
    with pytest.raises(DataError, match="megapixels"):
        read_reduced(path, 8.0, 2000)


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in ("/dev/zero", tmp_path / "pipe.jpg"):
        with pytest.raises(DataError, match="no regular file"):
            read_image(path)
    with pytest.raises(DataError, match="no such image"):
        read_image("a\0b.jpg")


def test_folders_give_every_readable_picture_and_list_the_rest(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    names = ["b.JPG", "a.png", "deep/c.gif", "d.avif", "e.jp2", "clip.mp4", "f.svg", "notes.txt", "g.heic"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr("lvtune.data.find_images.has_decoder", lambda kind: kind != "HEIC")
    assert [p.relative_to(tmp_path).as_posix() for p in find_images(tmp_path)] == [
        "a.png", "b.JPG", "d.avif", "deep/c.gif", "e.jp2",
    ]  # fmt: skip
    assert [path.name for path in find_left_out(tmp_path)] == ["clip.mp4", "f.svg", "g.heic"]
    note = left_out_note(tmp_path)
    assert note.startswith("3 files left out") and "lvtune[heic]" in note
    assert left_out_note(tmp_path / "deep") is None


def test_linked_folders_are_followed_and_each_real_folder_comes_once(tmp_path):
    for name in ("pool/own/a.png", "pool/z/b.png", "far/deep/c.png", "far/clip.mp4", "beside.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    pool = tmp_path / "pool"
    links = {
        "linked": tmp_path / "far", "twice": tmp_path / "far" / "deep", "a-link": pool / "z",  # z has its own path
        "own/circle": pool, "up": tmp_path, "gone": tmp_path / "nowhere",
    }  # fmt: skip
    for name, target in links.items():
        (pool / name).symlink_to(target)
    (tmp_path / "far" / "back").symlink_to(tmp_path / "far")
    found = [path.relative_to(pool).as_posix() for path in find_images(pool)]
    assert found == ["linked/deep/c.png", "own/a.png", "z/b.png"]
    assert "clip.mp4" in left_out_note(pool)
    (tmp_path / "whole").symlink_to(pool)
    assert len(find_images(tmp_path / "whole")) == 3


def test_a_folder_of_unreadable_pictures_says_so(tmp_path):
    for name in ("a.svg", "b.mov"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match="2 files left out, which cannot be read here"):
        find_images(tmp_path)
    assert has_decoder("JPEG")


def test_a_caller_may_allow_more_pixels_for_a_while(tmp_path):
    path = write(tmp_path, encoded(quarters(), "PNG"))
    with allow_pixels(2000), pytest.raises(DataError, match="megapixels"):
        read_image(path)
    assert read_image(path).shape == (40, 60, 3)
    with allow_pixels(100):
        assert read_image(path, max_pixels=3000).shape == (40, 60, 3)
