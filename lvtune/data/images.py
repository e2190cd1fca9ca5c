"""Pictures from disk: RGB, 8 bits, upright, or an error that says what is wrong with the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lvtune.core.errors import LvtuneError

JPEG, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"  # the last chunk with its checksum
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    16 bits become 8, grey becomes RGB. What is transparent is laid on white, as viewers show it (such a
    picture is not turned); the reference drops the alpha channel instead, which blackens cut-out drawings.

    Raises:
        LvtuneError: no such image, a truncated JPEG or PNG, or not an image.
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
    end = data.rfind(JPEG_END, _scan_start(data)) if jpeg else data.rfind(PNG_END)
    if end < 0 and (jpeg or data.startswith(PNG)):
        raise LvtuneError(
            f"{path}: a truncated {'JPEG' if jpeg else 'PNG'} of {len(data)} bytes",
            "a whole file",
            "copy or download the file again",
        )
    flag = cv2.IMREAD_UNCHANGED if _has_alpha(data) else REDUCED.get(factor, cv2.IMREAD_COLOR)
    image = _decode(data, flag)
    if image is None:
        raise LvtuneError(
            f"{path}: not an image, or broken",
            "a JPEG, PNG, WebP, BMP or TIFF file of 8 or 16 bits",
            "open it in a viewer; copy it again or save it as JPEG",
        )
    if flag == cv2.IMREAD_UNCHANGED:
        image = _on_white(image)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), factor


def _decode(data: bytes, flag: int) -> np.ndarray | None:
    """None where OpenCV cannot, without its own lines on stderr, since the caller raises."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flag)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)


def _has_alpha(data: bytes) -> bool:
    """Whether the header of a PNG or WebP announces transparency (PNG and WebP specifications)."""
    if data.startswith(PNG):
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    kind, flags = data[8:16], {b"WEBPVP8X": data[20:21], b"WEBPVP8L": data[24:25]}
    return kind in flags and bool(flags[kind]) and bool(flags[kind][0] & 0x10)


def _on_white(image: np.ndarray) -> np.ndarray:
    """(H, W, C) of any depth and 1 to 4 channels -> (H, W, 3) uint8, alpha laid on white."""
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] < 4:
        return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    alpha = image[..., 3:].astype(np.uint16)
    return ((image[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LvtuneError(
            f"no such image: {path}" if not path.exists() else f"{path}: {error.strerror}",
            "an image file that can be read",
            "compare the image folder with the file names in the annotations",
        ) from None
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
        place += 1 if marker == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return place


SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def find_images(images: str | Path | Sequence[str | Path]) -> list[Path]:
    """The picture files, those of folders in the order of their names."""
    given = [images] if isinstance(images, str | Path) else list(images)
    found: list[Path] = []
    for item in map(Path, given):
        if item.is_dir():
            inside = sorted(p for p in item.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise LvtuneError(f"folder {item} without pictures", f"files ending in {', '.join(SUFFIXES)}",
                                  "check the path")  # fmt: skip
            found += inside
        elif item.is_file():
            found.append(item)
        else:
            raise LvtuneError(f"no picture or folder at {item}", "an existing picture or folder", "check the path")
    if not found:
        raise LvtuneError("no pictures", "at least one picture or folder", "name one: lvtune predict PICTURE")
    return found
