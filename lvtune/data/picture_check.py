"""One look at every picture of a table before anything is computed: missing, broken, too large, of another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.image_header import TURNED, PictureHeader
from lvtune.data.images import MAX_PIXELS
from lvtune.data.picture_headers import read_headers

_SHOWN = 5


class PicturesOf(Protocol):
    """What is read of a table."""

    def __len__(self) -> int: ...
    def column(self, name: str) -> np.ndarray:
        """All values of ``image``, ``width`` or ``height``."""
        ...

    def image_path(self, index: int) -> Path:
        """Where a picture lies."""
        ...


@dataclass
class PictureCheck:
    """What was found in the files of a table's pictures."""

    pictures: int = 0
    """Different pictures in the table."""
    looked_at: int = 0
    missing: list[str] = field(default_factory=list)
    """Names without a file."""
    broken: list[str] = field(default_factory=list)
    """Name and fault."""
    too_large: list[str] = field(default_factory=list)
    """Name and size."""
    of_other_size: list[str] = field(default_factory=list)
    """Name, size, and the size annotated."""
    unread: set[str] = field(default_factory=set)
    """Names of the pictures that are missing, broken or too large."""

    @property
    def is_sound(self) -> bool:
        """Returns True if every picture can be read and has its annotated size."""
        return not (self.missing or self.broken or self.too_large or self.of_other_size)

    def sentences(self) -> list[str]:
        """One sentence for each kind of fault, with the count and the first names."""
        kinds = (
            (self.missing, "are missing"),
            (self.broken, "cannot be read"),
            (self.too_large, "are too large"),
            (self.of_other_size, "are of another size than annotated, in another ratio of width to height"),
        )
        return [
            f"{len(found)} of {counted(self.looked_at, 'picture')} {text}: {'; '.join(found[:_SHOWN])}"
            for found, text in kinds
            if found
        ]

    def require_sound(self, where: str = "") -> None:
        """Raises an error that names the faults.

        Args:
            where: name of the data, for the message.

        Raises:
            DataError: not every picture is sound.
        """
        if not self.is_sound:
            raise DataError(
                ". ".join(self.sentences()) + (f" (in {where})" if where else ""),
                "every picture whole and as annotated",
                "correct the pictures or the annotations; `lvtune check-data` lists the faults",
            )


def check_pictures(table: PicturesOf, limit: int | None = None) -> PictureCheck:
    """Looks at the file of every picture once: its header and its end, not its pixels.

    Args:
        table: of persons or hands. Drawn pictures, which lie in no file, are passed over.
        limit: how many pictures to look at; None: all.
    """
    names = table.column("image")
    first = np.sort(np.unique(names.astype(str), return_index=True)[1])
    result = PictureCheck(pictures=len(first))
    if getattr(table, "draw", None) is not None:
        return result
    first = first[:limit]
    result.looked_at = len(first)
    paths = [table.image_path(int(row)) for row in first]
    sizes = zip(table.column("width")[first], table.column("height")[first], strict=True)
    most = getattr(table, "max_pixels", MAX_PIXELS)
    for row, path, header, size in zip(first, paths, read_headers(paths), sizes, strict=True):
        name = str(names[row])
        if isinstance(header, PictureHeader):
            _compare(result, name, header, (int(size[0]), int(size[1])), most)
        elif not path.exists():
            result.missing.append(name)
            result.unread.add(name)
        else:
            result.unread.add(name)
            result.broken.append(header.given if name in header.given else f"{name}: {header.given}")
    return result


def _compare(result: PictureCheck, name: str, header: PictureHeader, annotated: tuple[int, int], most: int) -> None:
    """Compares a picture's size with the limit and with the one annotated."""
    width, height = header.upright
    if width * height > most:
        result.unread.add(name)
        result.too_large.append(f"{name}: {width}x{height}, more than {most / 1e6:g} megapixels (--max-pixels)")
    elif not (_is_near(width, annotated[0]) and _is_near(height, annotated[1])):
        is_turned = header.orientation in TURNED and (height, width) == annotated
        why = ", which is its size before its EXIF orientation turns it" if is_turned else ""
        result.of_other_size.append(f"{name}: {width}x{height}, annotated {annotated[0]}x{annotated[1]}{why}")


def _is_near(size: int, annotated: int) -> bool:
    return abs(size - annotated) <= max(2, 0.01 * annotated)


def require_pictures(*tables: PicturesOf | None) -> None:
    """Checks the pictures of several tables.

    Raises:
        DataError: a picture is missing, broken, too large or of another size than annotated.
    """
    checks = [check_pictures(table) for table in tables if table is not None]
    faults: Sequence[PictureCheck] = [check for check in checks if not check.is_sound]
    if faults:
        faults[0].require_sound()
