"""The pictures of a COCO-style file: where they lie, and their sizes as annotated and as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError
from lvtune.core.text import counted, plural
from lvtune.data.coco_values import finite, integer
from lvtune.data.image_header import PictureHeader
from lvtune.data.picture_headers import read_headers
from lvtune.data.picture_names import FoundPictures, find_pictures

_NEEDED = "id and file_name for every image; width and height, or the picture itself"


@dataclass(frozen=True)
class Picture:
    """One entry of ``images``."""

    number: int
    name: str
    """Relative to the folder of the pictures, where it was found."""
    original: str
    """As the file names it."""
    width: int
    height: int
    category: str
    description: str
    scale: tuple[float, float] = (1.0, 1.0)
    """Factors from annotated coordinates to those of the picture, where it is larger or smaller than annotated."""


@dataclass(frozen=True)
class Where:
    """Where pictures may lie."""

    root: Path
    """Folder that the names are relative to."""
    symlinks: bool = False
    """Take links that lead out of the folder."""
    anywhere: bool = False
    """The names were found before, and may be absolute."""

    def find(self, names: Sequence[str]) -> FoundPictures:
        """Finds pictures by their names; see :func:`lvtune.data.picture_names.find_pictures`."""
        return find_pictures(names, self.root, self.symlinks, self.anywhere)


@dataclass
class Looked:
    """What a look at the pictures' files found."""

    found: FoundPictures
    headers: list[PictureHeader | DataError | None] = field(default_factory=list)
    """Of each picture; None where there is no file."""


def look_at_pictures(names: Sequence[str], where: Where) -> Looked:
    """Finds the pictures and reads their headers.

    Raises:
        DataError: as :func:`lvtune.data.picture_names.find_pictures`.
    """
    found = where.find(names)
    there = [place for place, is_there in enumerate(found.is_there) if is_there]
    headers: list[PictureHeader | DataError | None] = [None] * len(names)
    for place, header in zip(there, read_headers([where.root / found.names[place] for place in there]), strict=True):
        headers[place] = header
    return Looked(found, headers)


def image_names(data: Any) -> list[str]:
    """``file_name`` of each entry of ``images``; "" where it has none. Faults of the file are told later."""
    images = data.get("images") if isinstance(data, dict) else None
    entries = images if isinstance(images, list) else []
    return [as_text(image.get("file_name") or "") if isinstance(image, dict) else "" for image in entries]


def as_text(value: Any) -> str:
    """A value as text that can be stored: half of a surrogate pair becomes a question mark."""
    return str(value).encode("utf-8", "replace").decode()


def state_of_pictures(names: Sequence[str], where: Where) -> str:
    """A hash that changes when a picture is found elsewhere, or its file changes."""
    found = where.find(names)
    mark = hashlib.sha256()
    for name, is_there in zip(found.names, found.is_there, strict=True):
        status = (where.root / name).stat() if is_there else None
        mark.update(repr((name, status and (status.st_size, status.st_mtime_ns))).encode("utf-8", "surrogatepass"))
    return mark.hexdigest()


def index_pictures(
    images: Sequence[dict[str, Any]], path: Path, looked: Looked | None
) -> tuple[dict[int, Picture], list[str]]:
    """``images`` of a file by id, and notes.

    Args:
        images: the entries.
        path: of the file, for messages.
        looked: what the files say; None trusts the annotations.

    Raises:
        DataError: an entry without id, name or size, or an id that stands twice.
    """
    known: dict[int, Picture] = {}
    read_sizes: list[str] = []
    scaled: list[str] = []
    for place, image in enumerate(images):
        lacking = [name for name in ("id", "file_name") if image.get(name) is None]
        if lacking:
            raise _lacking(lacking[0], image, path)
        number = integer(image["id"], f"id of image {image['file_name']} in {path}")
        if number in known:
            raise DataError(f"image id {number} twice in {path}", "one id for each image", "number the images anew")
        header = None if looked is None else looked.headers[place]
        actual = header.upright if isinstance(header, PictureHeader) else None
        size = _annotated_size(image, path, actual is None)
        original = as_text(image["file_name"])
        name = original if looked is None else looked.found.names[place]
        factors = (1.0, 1.0)
        if size is None and actual is not None:
            read_sizes.append(name)
        elif size is not None and actual is not None and size != actual:
            factors = same_ratio(size, actual) or factors
            if factors != (1.0, 1.0):
                scaled.append(f"{name}: {actual[0]}x{actual[1]}, annotated {size[0]}x{size[1]}")
        width, height = actual if actual is not None and (size is None or factors != (1.0, 1.0)) else size or (0, 0)
        known[number] = Picture(
            number, name, original, width, height, as_text(image.get("category") or ""),
            as_text(image.get("description") or ""), factors,
        )  # fmt: skip
    notes = [] if looked is None else list(looked.found.notes)
    if read_sizes:
        notes.append(
            f"{len(read_sizes)} of {counted(len(images), 'image')} without width and height: read from the pictures"
        )
    if scaled:
        notes.append(
            f"{len(scaled)} of {counted(len(images), 'picture')} {plural(len(scaled), 'is', 'are')} larger or smaller "
            f"than annotated, in the same ratio of width to height: boxes and key points are scaled ({scaled[0]})"
        )
    return known, notes


def same_ratio(annotated: tuple[int, int], actual: tuple[int, int]) -> tuple[float, float] | None:
    """Factors (x, y) from annotated to actual pixels; None where width and height differ by different factors.

    Sizes are whole numbers: each may be off by one pixel of the smaller picture.
    """
    factors = (actual[0] / annotated[0], actual[1] / annotated[1])
    slack = 1 + max(1.0, *factors)
    is_same = abs(annotated[0] * factors[1] - actual[0]) <= slack or abs(annotated[1] * factors[0] - actual[1]) <= slack
    is_far = max(abs(actual[0] - annotated[0]), abs(actual[1] - annotated[1])) > 2
    return factors if is_same and is_far else None


def _annotated_size(image: dict[str, Any], path: Path, needed: bool) -> tuple[int, int] | None:
    """(width, height); None where they are missing or cannot be and the picture itself has a size."""
    lacking = [name for name in ("width", "height") if image.get(name) is None]
    if lacking and needed:
        raise _lacking(lacking[0], image, path)
    values = [finite(image.get(name)) for name in ("width", "height")]
    sound = [value for value in values if value is not None and 1 <= value <= 2**31]
    if len(sound) == 2:
        return int(sound[0]), int(sound[1])
    if not needed:
        return None
    if None in values:
        raise DataError(
            f"size of image {image['file_name']}: {image.get('width')!r:.40}, {image.get('height')!r:.40}",
            "finite numbers", "correct that entry",
        )  # fmt: skip
    raise DataError(
        f"image {image['file_name']} of size {image['width']}x{image['height']}",
        "width and height of at least 1 pixel",
        "write the picture's true size",
    )


def change_mark(pictures: Mapping[int, Picture], looked: Looked | None) -> str:
    """A hash of what the files changed in what the annotations say; "" where they changed nothing."""
    if looked is None:
        return ""
    told = [
        (p.number, p.name, p.width, p.height, p.scale)
        for p in pictures.values()
        if p.name != p.original or p.scale != (1.0, 1.0)
    ]
    return hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest() if told else ""


def _lacking(name: str, image: dict[str, Any], path: Path) -> DataError:
    return DataError(f"an image of {path} without `{name}`: {str(image)[:80]}", _NEEDED, "add it")
