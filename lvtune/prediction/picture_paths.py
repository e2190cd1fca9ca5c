"""Paths as users write them: files, folders, patterns such as ``frames/*.jpg``, and lists of files (``@list.txt``)."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lvtune.core.errors import DataError
from lvtune.data.find_images import find_images, is_read

_MAGIC = "*?["


@dataclass(frozen=True)
class NamedPictures:
    """The pictures that some paths name."""

    files: list[Path]
    """Each once, in order; those of a list may be missing."""
    given: list[str | Path]
    """Files and folders, for the relative paths of the pictures."""


def named_pictures(images: Sequence[str | Path]) -> NamedPictures:
    """Finds pictures.

    Args:
        images: files, folders, patterns (``**`` stands for any folders), and ``@FILE`` for a text file with one path a
            line, from the folder of the list or from the working folder; lines that begin with # are left out.

    Raises:
        DataError: no such file, folder or list; nothing that fits a pattern.
    """
    files: list[Path] = []
    given: list[str | Path] = []
    plain: list[str | Path] = []
    for item in images:
        text = str(item)
        if text.startswith("@") and not Path(text).exists():
            files += _listed(Path(text[1:]))
        elif any(sign in text for sign in _MAGIC) and not Path(text).exists():
            files += _fitting(text)
            given.append(_root(text))
        else:
            plain.append(item)
            files += find_images(item)
    return NamedPictures(list(dict.fromkeys(files)), [*plain, *given])


def _fitting(pattern: str) -> list[Path]:
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    files = [file for file in found if file.is_file() and is_read(file)]
    for folder in (one for one in found if one.is_dir() and "**" not in pattern):
        files += find_images(folder)
    if not files:
        raise DataError(f"pattern '{pattern}', which matches no picture", "an existing picture, such as frames/*.jpg",
                        "check it; ** stands for any folders")  # fmt: skip
    return files


def _root(pattern: str) -> Path:
    """The folder in front of the first part with a sign of a pattern."""
    parts = Path(pattern).parts
    fixed = next(place for place, part in enumerate(parts) if any(sign in part for sign in _MAGIC))
    return Path(*parts[:fixed]) if fixed else Path(".")


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"no list of pictures at {path} ({error})", "a text file with one path a line",
                        "check the path behind the @") from None  # fmt: skip
    names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not names:
        raise DataError(f"list {path} without a line", "one path of a picture a line", "fill it")
    beside = [path.parent / name for name in names]
    return [own if own.exists() or not Path(name).exists() else Path(name)
            for own, name in zip(beside, names, strict=True)]  # fmt: skip
