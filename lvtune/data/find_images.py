"""Finds picture files in folders, and those that look like pictures but cannot be read here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.image_header import AVIF, HEIC, JP2, has_decoder
from lvtune.data.video_frames import VIDEO_SUFFIXES, is_video

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".pgm", ".ppm", ".pnm",
)  # fmt: skip
"""Of formats that are read everywhere."""
_BY_DECODER = {
    ".avif": AVIF, ".jp2": JP2, ".j2k": JP2, ".jpf": JP2, ".jpx": JP2, ".heic": HEIC, ".heif": HEIC, ".hif": HEIC,
}  # fmt: skip
_NOT_READ = {
    ".jxl", ".svg", ".psd", ".xcf", ".ai", ".eps", ".pdf", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf",
    ".rw2", ".raf", ".exr", ".hdr", ".ico", ".tga", ".dcm", *VIDEO_SUFFIXES,
}  # fmt: skip
"""Pictures and videos that are not read."""


def is_read(path: Path) -> bool:
    """Returns True if the file's name is that of a picture which can be read here."""
    suffix = path.suffix.lower()
    return suffix in SUFFIXES or (suffix in _BY_DECODER and has_decoder(_BY_DECODER[suffix]))


def find_images(images: str | Path | Sequence[str | Path]) -> list[Path]:
    """The picture files, those of folders in the order of their names.

    Raises:
        DataError: no such file or folder, or no picture in it.
    """
    given = [images] if isinstance(images, str | Path) else list(images)
    found: list[Path] = []
    for item in map(Path, given):
        if item.is_dir():
            inside = [path for path in _files(item) if is_read(path)]
            if not inside:
                raise _without_pictures(item)
            found += inside
        elif item.is_file():
            found.append(item)
        else:
            raise DataError(f"no picture or folder at {item}", "an existing picture or folder", "check the path")
    if not found:
        raise DataError("no pictures", "at least one picture or folder", "name one: lvtune predict PICTURE")
    return found


def find_left_out(images: str | Path | Sequence[str | Path]) -> list[Path]:
    """Files in the folders that are pictures or videos by their names and that `find_images` leaves out."""
    given = [images] if isinstance(images, str | Path) else list(images)
    known = _NOT_READ | set(_BY_DECODER)
    return [
        path
        for item in map(Path, given)
        if item.is_dir()
        for path in _files(item)
        if path.suffix.lower() in known and not is_read(path)
    ]


def left_out_note(images: str | Path | Sequence[str | Path]) -> str | None:
    """One sentence on what is left out, with the first names; None where nothing is."""
    left = find_left_out(images)
    if not left:
        return None
    kinds = ", ".join(sorted({path.suffix.lower() for path in left}))
    names = ", ".join(path.name for path in left[:3])
    hint = (
        "; HEIC needs pip install lvtune[heic]" if {".heic", ".heif", ".hif"} & {p.suffix.lower() for p in left} else ""
    )
    if any(is_video(path) for path in left):
        hint += "; a video is given by itself: lvtune predict VIDEO"
    return f"{counted(len(left), 'file')} left out, which cannot be read here ({kinds}): {names}{hint}"


def _files(folder: Path) -> list[Path]:
    """The files under a folder, those of linked folders too: a linked file is taken, so a linked folder is.

    Each real folder comes once, by its own path where it lies under ``folder``. A link to a folder that ``folder`` lies
    in is a circle, and not followed.
    """
    around = {os.path.realpath(folder), *map(str, Path(os.path.realpath(folder)).parents)}
    seen: set[str] = set()
    found: list[Path] = []
    starts = [folder]
    while starts:  # links come after the folders that are there themselves
        for where, folders, names in os.walk(starts.pop(0)):
            real = os.path.realpath(where)
            if real in seen or (Path(where) != folder and real in around):
                folders.clear()
                continue
            seen.add(real)
            found += [Path(where) / name for name in names]
            starts += sorted(one for one in (Path(where) / name for name in folders) if one.is_symlink())
    return sorted(found)


def _without_pictures(folder: Path) -> DataError:
    note = left_out_note(folder)
    given = f"folder {folder} without pictures" + (f" that can be read ({note})" if note else "")
    return DataError(given, f"files ending in {', '.join(SUFFIXES)}", "check the path, or save the pictures as JPEG")
