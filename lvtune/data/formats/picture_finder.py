"""Finds the picture that a label file names, even where the project was moved, renamed or made on Windows."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from lvtune.core.errors import DataError
from lvtune.data.find_images import SUFFIXES
from lvtune.data.image_header import read_header

PICTURE_SUFFIXES = (*SUFFIXES, ".avif", ".jp2", ".j2k", ".heic", ".heif")
_HEAD = 65536
_DRIVE = re.compile(r"^[A-Za-z]:/")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def plain_name(name: str) -> str:
    r"""Returns a path as the labels give it with forward slashes: ``C:\a\b.png`` is ``C:/a/b.png``."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/"))


class PictureFinder:
    """Looks for pictures below some folders.

    Args:
        roots: folders that names may be relative to; the first one that has the file counts.
        but: a folder below them that is not looked through.

    Attributes:
        moved: how many pictures were found by their name alone, in another folder than the labels say.
        guesses: how many were found by another name than the labels give, moved ones among them.
    """

    def __init__(self, roots: Sequence[Path], but: Path | None = None) -> None:
        self.roots = list(dict.fromkeys(Path(root).resolve() for root in roots))
        self._but = None if but is None else but.resolve()
        self.moved = self.guesses = 0

    def find(self, name: str, least: int = 1) -> Path | None:
        """Returns the absolute path of the picture, or None where it is not there or could be several.

        Args:
            name: path or URL as the labels give it; backslashes are slashes.
            least: how many parts at the end of its path a file elsewhere must share: 1 its name, 2 its folder too.
        """
        text = plain_name(name)
        direct = self.at_its_place(text)
        if direct is not None:
            return direct
        address = _SCHEME.sub("", text)
        whole = address.partition("?")[0]
        tries = [text] if address == text else [unquote(whole), whole]
        found = next((path for one in tries if (path := self._by_name(one, least)) is not None), None)
        self.moved += found is not None
        self.guesses += found is not None
        return found

    def key(self, name: str) -> str:
        """Returns what two spellings of one path have in common."""
        return plain_name(name)

    def at_its_place(self, name: str) -> Path | None:
        """Returns the absolute path of the picture, or None where it is not where the name says."""
        text = plain_name(name)
        for root in self.roots:
            path = root / text
            try:
                if path.is_file() and not self._is_left_out(path):
                    return Path(path.absolute())
            except (OSError, ValueError):  # a name that is too long, or holds a zero byte
                return None
        return None

    def flat_folder(self) -> dict[str, Path]:
        """The pictures by name, where all lie directly in the one folder that is looked through; else none."""
        files = [path for same in self._index.values() for path in same]
        is_flat = len(self.roots) == 1 and all(path.parent == self.roots[0] for path in files)
        return {folded(path.name): path for path in files} if is_flat else {}

    def _is_left_out(self, path: Path) -> bool:
        return self._but is not None and path.resolve().is_relative_to(self._but)

    def _by_name(self, text: str, least: int) -> Path | None:
        """Returns the one file below the roots that shares most of the end of the path."""
        wanted = PurePosixPath(_DRIVE.sub("", text)).parts[::-1]
        if not wanted:
            return None
        same = self._index.get(folded(wanted[0]), [])
        if not same:
            return None
        lengths = [_shared(wanted, path.parts[::-1]) for path in same]
        best = [path for path, length in zip(same, lengths, strict=True) if length == max(lengths)]
        # where the folder that the labels name is there, a picture of the same name elsewhere is another one
        is_other = max(lengths) == 1 and len(wanted) > 1 and folded(wanted[1]) in self._folders
        return best[0] if len(best) == 1 and not is_other and max(lengths) >= least else None

    @cached_property
    def _folders(self) -> set[str]:
        """Names of all folders below the roots, and of the roots."""
        inside = {name for root in self.roots for _, names, _ in os.walk(root) for name in names}
        return {folded(name) for name in (*inside, *(root.name for root in self.roots))}

    @cached_property
    def _index(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in dict.fromkeys(path for root in self.roots for path in pictures_below(root)):
            if not self._is_left_out(path):
                found.setdefault(folded(path.name), []).append(path)
        return found


def pictures_below(folder: Path) -> list[Path]:
    """Returns the picture files in a folder and the folders in it, sorted by path."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())


def picture_size(path: Path) -> tuple[int, int]:
    """Returns width and height in pixels as read_image gives them, from the header of the file.

    Raises:
        DataError: not a picture, or one that cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            found = read_header(head) or read_header(head + file.read())
    except OSError as error:
        raise DataError(f"picture {path}: {error.strerror}", "a file that can be read", "check the file") from None
    if found is None:
        raise DataError(f"picture {path}: not a picture, or broken", "a whole picture", "copy the picture again")
    return found.upright


def folded(name: str) -> str:
    """Returns what names of one file have in common on systems that do not tell them apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _shared(wanted: Sequence[str], other: Sequence[str]) -> int:
    """Returns how many parts from the end on two paths have alike."""
    count = 0
    for one, two in zip(wanted, other, strict=False):
        if folded(one) != folded(two):
            break
        count += 1
    return count
