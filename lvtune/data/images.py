"""Pictures from disk: RGB, 8 bits, upright, or an error that says what is wrong with the file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lvtune.errors import LvtuneError

JPEG, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises:
        LvtuneError: no such image, a truncated JPEG, or not an image.
    """
    return read_reduced(path, 1.0)[0]


def read_reduced(path: str | Path, ratio: float) -> tuple[np.ndarray, int]:
    """Read a picture, a JPEG at 1/2, 1/4 or 1/8 of its size where that is enough.

    Args:
        path: the file.
        ratio: how many pixels of the picture go into one pixel of the crop, along a line.

    Returns:
        The picture (H, W, 3) uint8 RGB and the factor by which it is smaller: the largest of 1, 2, 4, 8 not
        above `ratio`; 1 for other formats, which decode in full anyway.

    Raises:
        LvtuneError: as `read_image`.
    """
    data = _read_bytes(Path(path))
    jpeg = data.startswith(JPEG)
    factor = max((f for f in REDUCED if jpeg and f <= ratio), default=1)
    if jpeg and JPEG_END not in data[_scan_start(data):]:
        raise LvtuneError(f"{path}: a truncated JPEG of {len(data)} bytes", "a whole JPEG file",
                          "copy or download the file again")
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), REDUCED.get(factor, cv2.IMREAD_COLOR))
    if image is None:
        raise LvtuneError(f"{path}: not an image, or broken", "a JPEG, PNG, WebP, BMP or TIFF file",
                          "open it in a viewer; copy it again or save it as JPEG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image), factor


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LvtuneError(f"no such image: {path}" if not path.exists() else f"{path}: {error.strerror}",
                          "an image file that can be read",
                          "compare the image folder with the file names in the annotations") from None
    if not data:
        raise LvtuneError(f"{path}: an empty file", "an image file", "copy or download the file again")
    return data


def _scan_start(data: bytes) -> int:
    """Where the pixels of a JPEG begin: past the headers, whose thumbnail may hold an end mark of its own."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xDA:
            break
        place += 1 if marker == 0xFF else 2 + int.from_bytes(data[place + 2:place + 4], "big")
    return place
