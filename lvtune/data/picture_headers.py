"""Reads the headers of many pictures at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lvtune.core.errors import DataError
from lvtune.data.image_header import JPEG, PNG, WEBP, PictureHeader, picture_kind, read_header
from lvtune.data.images import JPEG_END, PNG_END, is_truncated, not_an_image, read_bytes

_BEGIN, _END = 64 * 1024, 4096  # bytes that hold the header of most pictures, and their end mark
_THREADS = 8


def read_headers(paths: Sequence[Path]) -> list[PictureHeader | DataError]:
    """The header of each picture, or the error that reading it raises.

    Beginning and end of each file are looked at, not its pixels: pictures that break off are found, others that are
    damaged are not.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(read_header_of, paths, chunksize=16))


def read_header_of(path: Path) -> PictureHeader | DataError:
    """The header of one picture, as :func:`read_headers`."""
    try:
        data = read_bytes(path, _BEGIN)
        header = read_header(data)
        if header is None or header.kind not in (JPEG, PNG, WEBP):
            data = read_bytes(path)  # a header behind a thumbnail or in the middle of the file
            header = read_header(data)
        if header is None:
            raise not_an_image(path, data)
        if _breaks_off(path, header):
            raise DataError(
                f"{path}: a truncated {header.kind} of {path.stat().st_size} bytes",
                "a whole file",
                "copy or download the file again",
            )
    except DataError as error:
        return error
    except OSError as error:
        return DataError(f"{path}: {error.strerror}", "an image file that can be read", "check the file")
    return header


def _breaks_off(path: Path, header: PictureHeader) -> bool:
    """Returns True if the end of a JPEG, PNG or WebP is missing."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if header.kind == WEBP:
            return size < 8 + int.from_bytes(file.read(8)[4:8], "little")
        if header.kind not in (JPEG, PNG):
            return False
        file.seek(max(0, size - _END))
        if (JPEG_END if header.kind == JPEG else PNG_END) in file.read():
            return False
    return is_truncated(read_bytes(path))  # there may be more behind the end mark


def is_picture(path: Path) -> bool:
    """Returns True if the file begins like a picture."""
    try:
        return picture_kind(read_bytes(path, 256)) is not None
    except DataError:
        return False
