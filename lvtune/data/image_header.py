"""Reads a picture's format, size and EXIF orientation from its first bytes, without decoding it.

Sources: JPEG (ITU T.81), PNG, WebP and GIF specifications; EXIF 2.3. Sizes of TIFF, JPEG 2000, AVIF and HEIC are left
to Pillow's plugins, which are called directly: `Image.open` would warn of large pictures.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

from lvtune.core.errors import DataError

JPEG, PNG, GIF, BMP, WEBP, TIFF = "JPEG", "PNG", "GIF", "BMP", "WebP", "TIFF"
JP2, AVIF, HEIC, NETPBM = "JPEG 2000", "AVIF", "HEIC", "Netpbm"
PLUGINS = {TIFF: "TIFF", JP2: "JPEG2000", AVIF: "AVIF", HEIC: "HEIF", GIF: "GIF", NETPBM: "PPM"}
"""Format to the name of Pillow's plugin."""
_BRANDS = {b"avif": AVIF, b"avis": AVIF}
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_ORIENTATION = 274  # EXIF tag
TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


@dataclass(frozen=True)
class PictureHeader:
    """What a picture's header says."""

    kind: str
    """Format, such as ``JPEG``."""
    width: int
    """As stored."""
    height: int
    orientation: int = 1
    """EXIF orientation, 1 to 8."""

    @property
    def upright(self) -> tuple[int, int]:
        """(width, height) as viewers show the picture."""
        return (self.height, self.width) if self.orientation in TURNED else (self.width, self.height)


def picture_kind(data: bytes) -> str | None:
    """The format that the first 32 bytes announce; None for no picture that is known."""
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG
    for start, kind in (
        (b"\x89PNG\r\n\x1a\n", PNG),
        (b"GIF87a", GIF),
        (b"GIF89a", GIF),
        (b"BM", BMP),
        (b"II*\0", TIFF),
        (b"MM\0*", TIFF),
        (b"II+\0", TIFF),
        (b"\0\0\0\x0cjP  \r\n\x87\n", JP2),
        (b"\xff\x4f\xff\x51", JP2),
    ):
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    if data[4:8] == b"ftyp":
        return _boxed_kind(data)
    if data[:1] == b"P" and data[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6") and data[2:3].isspace():
        return NETPBM
    return None


def _boxed_kind(data: bytes) -> str | None:
    """AVIF or HEIC of an ISO base media file, by its main brand and then by those it is compatible with."""
    size = min(int.from_bytes(data[:4], "big"), len(data), 256)
    brands = [data[8:12], *(data[i : i + 4] for i in range(16, size, 4))]
    if any(brand in _BRANDS for brand in brands):
        return AVIF
    return HEIC if any(brand in _HEIC_BRANDS for brand in brands) else None


def read_header(data: bytes) -> PictureHeader | None:
    """Reads the header of a picture.

    Args:
        data: the file, or its beginning as far as the header goes.

    Returns:
        The header; None where the bytes are no picture, break off, or belong to a format without a decoder here.
    """
    kind = picture_kind(data[:256])
    if kind is None:
        return None
    try:
        if kind in PLUGINS:
            return _header_by_plugin(data, kind)
        width, height = {JPEG: _jpeg_size, PNG: _png_size, BMP: _bmp_size, WEBP: _webp_size}[kind](data)
    except (struct.error, IndexError, ValueError):
        return None
    if width < 1 or height < 1:
        return None
    return PictureHeader(kind, width, height, exif_orientation(data, kind))


def _png_size(data: bytes) -> tuple[int, int]:
    return struct.unpack(">II", data[16:24])


def _bmp_size(data: bytes) -> tuple[int, int]:
    if struct.unpack("<I", data[14:18])[0] == 12:  # the header of OS/2
        return struct.unpack("<HH", data[18:22])
    width, height = struct.unpack("<ii", data[18:26])
    return width, abs(height)


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return width, height
    if kind == b"VP8L":
        bits = struct.unpack("<I", data[21:25])[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("no picture in a RIFF file")


def _jpeg_segments(data: bytes) -> list[tuple[int, int, int]]:
    """(marker, begin, end) of the segments before the pixels."""
    place, found = 2, []
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            place = data.find(b"\xff", place)
            if place < 0:
                break
            continue
        marker = data[place + 1]
        if marker in (0xFF, 0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            place += 1 if marker == 0xFF else 2
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        found.append((marker, place + 4, end))
        if marker in (0xDA, 0xD9):
            break
        place = end
    return found


def _jpeg_size(data: bytes) -> tuple[int, int]:
    for marker, begin, _ in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[begin + 1 : begin + 5])
            return width, height
    raise ValueError("a JPEG without a frame")


def _header_by_plugin(data: bytes, kind: str) -> PictureHeader | None:
    image = open_with_plugin(data, kind)
    if image is None:
        return None
    orientation = exif_orientation(data, kind) if kind == TIFF else int(image.getexif().get(_ORIENTATION, 1))
    orientation = orientation if 1 <= orientation <= 8 else 1
    width, height = image.size
    if kind == TIFF:
        width, height = _tiff_size(data) or (width, height)
    return PictureHeader(kind, int(width), int(height), orientation)


def open_with_plugin(data: bytes, kind: str) -> Any:
    """A Pillow image that is not decoded yet; None where there is no decoder, or the file is broken."""
    from PIL import Image

    if kind == HEIC:
        _register_heic()
    Image.init()
    entry = Image.OPEN.get(PLUGINS[kind])
    if entry is None:
        return None
    try:
        return entry[0](io.BytesIO(data), "")
    except Exception:  # a plugin raises anything at a broken file
        return None


def _register_heic() -> None:
    """Adds HEIC to Pillow where the package pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def has_decoder(kind: str) -> bool:
    """Returns True if pictures of this format can be read here."""
    if kind not in PLUGINS or kind in (TIFF, NETPBM):
        return True
    from PIL import Image

    if kind == HEIC:
        _register_heic()
    Image.init()
    return PLUGINS[kind] in Image.OPEN


def exif_orientation(data: bytes, kind: str) -> int:
    """EXIF orientation, 1 to 8, of a JPEG, PNG, WebP or TIFF; 1 where there is none."""
    block = {JPEG: _jpeg_exif, PNG: _png_exif, WEBP: _webp_exif, TIFF: lambda d: d}.get(kind, lambda d: b"")(data)
    value = _tag(block.removeprefix(b"Exif\0\0"), _ORIENTATION)
    return value if value is not None and 1 <= value <= 8 else 1


def _jpeg_exif(data: bytes) -> bytes:
    for marker, begin, end in _jpeg_segments(data):
        if marker == 0xE1 and data[begin : begin + 4] == b"Exif":
            return data[begin:end]
    return b""


def _png_exif(data: bytes) -> bytes:
    place = 8
    while place + 8 <= len(data):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind == b"eXIf":
            return data[place + 8 : place + 8 + size]
        place += 12 + size
    return b""


def _webp_exif(data: bytes) -> bytes:
    place = 12
    while place + 8 <= len(data):
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        if data[place : place + 4] == b"EXIF":
            return data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    return b""


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    width, height = _tag(data, 256), _tag(data, 257)
    return None if width is None or height is None else (width, height)


def _tag(block: bytes, tag: int) -> int | None:
    """A whole number of the first directory of a TIFF structure; None where it has none."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or block[2:4] not in (b"*\0", b"\0*"):
        return None
    try:
        at = struct.unpack(order + "I", block[4:8])[0]
        count = struct.unpack(order + "H", block[at : at + 2])[0]
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            name, kind = struct.unpack(order + "HH", block[entry : entry + 4])
            if name == tag:
                short = kind == 3
                return struct.unpack(order + ("H" if short else "I"), block[entry + 8 : entry + (10 if short else 12)])[
                    0
                ]
    except struct.error:
        return None
    return None


def refuse_large(header: PictureHeader, name: str, max_pixels: int) -> None:
    """Refuses a picture of more than ``max_pixels`` pixels.

    Raises:
        DataError: it is larger.
    """
    if header.width * header.height > max_pixels:
        raise DataError(
            f"{name}: a {header.kind} of {header.width}x{header.height}, "
            f"{header.width * header.height / 1e6:.0f} megapixels",
            f"at most {max_pixels / 1e6:g} megapixels",
            "make the picture smaller, or raise the limit with --max-pixels N",
        )
