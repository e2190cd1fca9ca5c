"""Pictures from disk: RGB, 8 bits, upright, or an error that says what is wrong with the file."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvtune.core.errors import DataError
from lvtune.data.image_header import (
    AVIF,
    GIF,
    HEIC,
    JP2,
    JPEG,
    PNG,
    WEBP,
    PictureHeader,
    has_decoder,
    open_with_plugin,
    picture_kind,
    read_header,
    refuse_large,
)
from lvtune.data.jpeg_damage import decoded

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"  # the last chunk with its checksum
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
MAX_PIXELS = 200_000_000
"""Pictures with more pixels are refused unless the caller allows more."""
MAX_BYTES = 2 * 1024**3
"""Larger files are no pictures."""
_BY_PLUGIN = (GIF, AVIF, JP2, HEIC)
_FORMATS = "a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or JPEG 2000 file of 8 or 16 bits, or HEIC with lvtune[heic]"


_LIMIT: ContextVar[int] = ContextVar("max_pixels", default=MAX_PIXELS)


@contextlib.contextmanager
def allow_pixels(max_pixels: int) -> Iterator[None]:
    """Pictures of up to ``max_pixels`` pixels are read inside the block, where the caller gives no limit."""
    token = _LIMIT.set(max_pixels)
    try:
        yield
    finally:
        _LIMIT.reset(token)


def read_image(path: str | Path, max_pixels: int | None = None) -> np.ndarray:
    """Reads a picture as (H, W, 3) uint8 RGB, turned as its EXIF orientation says, whatever its format.

    16 bits become 8, grey becomes RGB. What is transparent is laid on white, as viewers show it; the reference drops
    the alpha channel instead, which blackens cut-out drawings. Of an animation the first picture is read.

    Args:
        path: the file.
        max_pixels: pictures with more pixels are refused; None: the limit of `allow_pixels`, else `MAX_PIXELS`.

    Raises:
        DataError: no such image, a truncated JPEG or PNG, too large, or not an image.
    """
    return read_reduced(path, 1.0, max_pixels)[0]


def read_reduced(path: str | Path, ratio: float, max_pixels: int | None = None) -> tuple[np.ndarray, int]:
    """Reads a picture, a JPEG at 1/2, 1/4 or 1/8 of its size where that is enough.

    Args:
        path: the file.
        ratio: how many pixels of the picture go into one pixel of the crop, along a line.
        max_pixels: pictures with more pixels are refused; None: the limit of `allow_pixels`, else `MAX_PIXELS`.

    Returns:
        The picture (H, W, 3) uint8 RGB and the factor by which it is smaller: the largest of 1, 2, 4, 8 not
        above `ratio`; 1 for other formats, which decode in full anyway.

    Raises:
        DataError: as `read_image`.
    """
    data = read_bytes(Path(path))
    jpeg = data.startswith(JPEG_START)
    factor = max((f for f in REDUCED if jpeg and f <= ratio), default=1)
    if is_truncated(data):
        raise DataError(
            f"{path}: a truncated {'JPEG' if jpeg else 'PNG'} of {len(data)} bytes",
            "a whole file",
            "copy or download the file again",
        )
    header = read_header(data)
    if header is None:
        raise not_an_image(path, data)
    refuse_large(header, str(path), _LIMIT.get() if max_pixels is None else max_pixels)
    image = _decode_plugin(data, header) if header.kind in _BY_PLUGIN else _decode(data, header, factor, path)
    if image is None:
        raise not_an_image(path, data)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), factor


def not_an_image(path: str | Path, data: bytes) -> DataError:
    """The error for a file that no decoder here reads."""
    kind = picture_kind(data[:256])
    if kind is not None and not has_decoder(kind):
        package = "pillow-heif (pip install lvtune[heic])" if kind == HEIC else "a Pillow built with it"
        return DataError(f"{path}: {kind}, for which no decoder is installed", package, "install it, or save as JPEG")
    return DataError(
        f"{path}: not an image, or broken", _FORMATS, "open it in a viewer; copy it again or save it as JPEG"
    )


def is_truncated(data: bytes) -> bool:
    """Returns True if a JPEG or PNG lacks its end mark; other formats do not tell."""
    jpeg = data.startswith(JPEG_START)
    if not jpeg and not data.startswith(PNG_START):
        return False
    return (data.rfind(JPEG_END, _scan_start(data)) if jpeg else data.rfind(PNG_END)) < 0


def _decode(data: bytes, header: PictureHeader, factor: int, path: str | Path) -> np.ndarray | None:
    """Decodes with OpenCV to upright (H, W, 3) uint8 BGR; None where it cannot."""
    flag = cv2.IMREAD_UNCHANGED if _has_alpha(data) else REDUCED.get(factor, cv2.IMREAD_COLOR)
    turn = header.kind in (PNG, WEBP)
    if turn and flag != cv2.IMREAD_UNCHANGED:
        flag |= cv2.IMREAD_IGNORE_ORIENTATION  # versions of OpenCV differ in which formats they turn
    is_jpeg = header.kind == JPEG
    image = decoded(lambda: _imdecode(data, flag), path) if is_jpeg else _imdecode(data, flag)
    if image is None:
        return None
    if flag == cv2.IMREAD_UNCHANGED:
        image = _on_white(image)
    return turned(image, header.orientation) if turn else image


def _imdecode(data: bytes, flag: int) -> np.ndarray | None:
    """None where OpenCV cannot, without its own lines on stderr, since the caller raises."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flag)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)


def _decode_plugin(data: bytes, header: PictureHeader) -> np.ndarray | None:
    """Decodes with Pillow to upright (H, W, 3) uint8 BGR; None where it cannot."""
    image = open_with_plugin(data, header.kind)
    try:
        pixels = None if image is None else _pillow_pixels(image)
    except Exception:  # a plugin raises anything at a broken file
        return None
    return None if pixels is None else turned(_on_white(pixels), header.orientation)


def _pillow_pixels(image: Any) -> np.ndarray:
    """A Pillow image -> (H, W, 1, 3 or 4) uint8 or uint16, BGR."""
    if image.mode.startswith("I") or image.mode == "F":
        return np.asarray(image).clip(0, 65535).astype(np.uint16)[..., None]
    has_alpha = "A" in image.mode or "transparency" in image.info
    pixels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    return np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """A picture (H, W, C) as stored -> upright, by its EXIF orientation 1 to 8."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _has_alpha(data: bytes) -> bool:
    """Whether the header of a PNG or WebP announces transparency (PNG and WebP specifications)."""
    if data.startswith(PNG_START):
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    kind, flags = data[8:16], {b"WEBPVP8X": data[20:21], b"WEBPVP8L": data[24:25]}
    return kind in flags and bool(flags[kind]) and bool(flags[kind][0] & 0x10)


def _on_white(image: np.ndarray) -> np.ndarray:
    """(H, W, C) of any depth and 1 to 4 channels -> (H, W, 3) uint8, alpha laid on white."""
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.shape[2] < 4:
        return image
    alpha = image[..., 3:].astype(np.uint16)
    return ((image[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """The bytes of a regular file, the first ``limit`` of them if given.

    Raises:
        DataError: no such file, no regular file (a device, a pipe), too large, empty, or not readable.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            fault = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise DataError(f"{path}: {fault}", "an image file", "name the file itself")
        if status.st_size > MAX_BYTES:
            raise DataError(
                f"{path}: {status.st_size / 1e9:.1f} GB", f"a picture of at most {MAX_BYTES / 1e9:.1f} GB", "check it"
            )
        with path.open("rb") as file:
            data = file.read(-1 if limit is None else limit)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        is_there = not isinstance(error, FileNotFoundError | ValueError)
        raise DataError(
            f"{path}: {error.strerror}" if is_there and isinstance(error, OSError) else f"no such image: {path}",
            "an image file that can be read",
            "compare the image folder with the file names in the annotations",
        ) from None
    if not data:
        raise DataError(f"{path}: an empty file", "an image file", "copy or download the file again")
    return data


def _scan_start(data: bytes) -> int:
    """Where the pixels of a JPEG begin: past the headers, whose thumbnail may hold an end mark of its own."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xDA:
            break
        place += 1 if marker == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return place
