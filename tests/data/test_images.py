"""Pictures from disk, whole and broken."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.data.images import read_image, read_reduced


@pytest.fixture(scope="module")
def picture():
    """A smooth RGB picture, 61 × 83."""
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


def encode(extension, rgb):
    if rgb.ndim == 3:
        rgb = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR if rgb.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return cv2.imencode(extension, rgb)[1].tobytes()


def write(tmp_path, data, name="picture.jpg"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def with_orientation(jpeg, value):
    """A JPEG with an EXIF block that holds one entry, the orientation."""
    entry = b"\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HHI", value, 0, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + entry
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff"])
def test_lossless_formats_come_back_as_rgb(tmp_path, picture, extension):
    np.testing.assert_array_equal(read_image(write(tmp_path, encode(extension, picture))), picture)


@pytest.mark.parametrize("extension", [".jpg", ".webp"])
def test_lossy_formats_come_back_as_rgb(tmp_path, picture, extension):
    got = read_image(str(write(tmp_path, encode(extension, picture))))
    assert got.shape == picture.shape and got.dtype == np.uint8
    assert np.abs(got.astype(int) - picture).mean() < 4


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_sixteen_bits_become_eight(tmp_path, picture, extension):
    path = write(tmp_path, encode(extension, picture.astype(np.uint16) * 257))
    np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_grey_becomes_rgb(tmp_path, picture, depth):
    grey = picture[..., 0]
    got = read_image(write(tmp_path, encode(".png", grey.astype(depth) * (257 if depth is np.uint16 else 1))))
    np.testing.assert_array_equal(got, np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_what_is_transparent_is_white(tmp_path, picture, depth):
    alpha = np.zeros((61, 83, 1), dtype=np.uint8)
    alpha[:20], alpha[20:40] = 255, 128
    whole = np.concatenate([picture, alpha], 2).astype(depth) * (257 if depth is np.uint16 else 1)
    got = read_image(write(tmp_path, encode(".png", whole)))
    np.testing.assert_array_equal(got[:20], picture[:20])
    assert (got[40:] == 255).all()
    half = (picture[20:40].astype(float) * 128 + 255 * 127) / 255
    assert np.abs(got[20:40] - half).max() <= 1


def test_transparent_webp_is_white_too(tmp_path, picture):
    clear = np.concatenate([picture * 0, np.zeros((61, 83, 1), np.uint8)], 2)
    assert (read_image(write(tmp_path, encode(".webp", clear))) == 255).all()


def test_the_picture_is_turned_upright(tmp_path, picture):
    jpeg = encode(".jpg", picture)
    upright = read_image(write(tmp_path, jpeg))
    turned = read_image(write(tmp_path, with_orientation(jpeg, 6)))
    np.testing.assert_array_equal(turned, np.rot90(upright, -1))
    small, factor = read_reduced(write(tmp_path, with_orientation(jpeg, 6)), 2.0)
    assert factor == 2 and small.shape == (42, 31, 3)


@pytest.mark.parametrize(("ratio", "factor"), [(0.3, 1), (1.99, 1), (2.0, 2), (3.9, 2), (4.5, 4), (50.0, 8)])
def test_a_jpeg_is_decoded_no_smaller_than_the_crop(tmp_path, picture, ratio, factor):
    large = cv2.resize(picture, (331, 245))
    got, used = read_reduced(write(tmp_path, encode(".jpg", large)), ratio)
    assert used == factor and got.shape == (-(-245 // factor), -(-331 // factor), 3)
    whole = cv2.resize(large, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    inner = [slice(1, whole.shape[0] - 1), slice(1, whole.shape[1] - 1)]
    assert np.abs(got[tuple(inner)].astype(int) - whole[tuple(inner)]).mean() < 5


def test_other_formats_are_never_reduced(tmp_path, picture):
    got, factor = read_reduced(write(tmp_path, encode(".png", picture)), 8.0)
    assert factor == 1 and got.shape == picture.shape


def test_no_such_image(tmp_path):
    with pytest.raises(LvtuneError, match=r"no such image: .*nowhere\.jpg") as error:
        read_image(tmp_path / "nowhere.jpg")
    assert "annotations" in error.value.fix
    with pytest.raises(LvtuneError, match="directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_truncated_jpegs_are_told_from_whole_ones(tmp_path, picture, share):
    jpeg = encode(".jpg", picture)
    with pytest.raises(LvtuneError, match="a truncated JPEG of"):
        read_image(write(tmp_path, jpeg[: int(len(jpeg) * share)]))


def test_a_thumbnail_does_not_hide_a_truncation(tmp_path, picture):
    jpeg = encode(".jpg", picture)
    header = b"\xff\xe1" + struct.pack(">H", len(jpeg) + 2) + jpeg
    assert read_image(write(tmp_path, jpeg[:2] + header + jpeg[2:])).shape == picture.shape
    with pytest.raises(LvtuneError, match="truncated"):
        read_image(write(tmp_path, jpeg[:2] + header + jpeg[2 : len(jpeg) // 2]))


def test_bytes_after_the_end_do_no_harm(tmp_path, picture):
    assert read_image(write(tmp_path, encode(".jpg", picture) + b"\0" * 99)).shape == picture.shape


def test_truncated_png(tmp_path, picture):
    png = encode(".png", picture)
    with pytest.raises(LvtuneError, match="a truncated PNG of"):
        read_image(write(tmp_path, png[: len(png) // 2], "picture.png"))


def chunk(kind, body=b""):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


HUGE = struct.pack(">IIBBBBB", 1 << 16, 1 << 16, 8, 2, 0, 0, 0)
HUGE_PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", HUGE) + chunk(b"IEND")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "an empty file"),
        (b"<html>Not found</html>", "not an image, or broken"),
        (b"GIF89a", "not an image, or broken"),
        (b"\xff\xd8\xff\xe0garbage\xff\xd9", "not an image, or broken|truncated"),
        (b"RIFF\0\0\0\0WEBPVP8X", "not an image, or broken"),
        (HUGE_PNG, "a PNG of 65536x65536, 4295 megapixels"),
    ],
    ids=["empty", "html", "gif", "jpeg", "webp", "huge png"],
)
def test_what_is_no_image_is_said_so_quietly(tmp_path, capfd, data, said):
    with pytest.raises(LvtuneError, match=said):
        read_image(write(tmp_path, data))
    assert "WARN" not in capfd.readouterr().err
