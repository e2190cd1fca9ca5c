"""Finds the pictures that an annotation file names, also where it was written on another machine.

A name is tried as it stands first. Then backslashes become slashes, the prefix of a URL or an absolute path goes, and
the files that lie under the folder are compared without regard to Unicode form and letter case; last comes a base name
that only one file has. Every change is told. A name never leads out of the folder.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from lvtune.core.errors import DataError
from lvtune.core.text import counted

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE = re.compile(r"^[A-Za-z]:[/\\]")
_MOST_FILES = 1_000_000


@dataclass
class FoundPictures:
    """Where N named pictures lie."""

    names: list[str]
    """Paths relative to the folder; the name as given where there is no such file."""
    is_there: list[bool]
    notes: list[str] = field(default_factory=list)
    """One sentence for each way in which names were changed."""


def find_pictures(names: Sequence[str], root: Path, symlinks: bool = False, anywhere: bool = False) -> FoundPictures:
    """Finds N pictures under a folder.

    Args:
        names: as the annotation file gives them.
        root: the folder.
        symlinks: take symbolic links that lead out of the folder.
        anywhere: the names were found before: take each as it stands, absolute paths too.

    Raises:
        DataError: links lead out of the folder, and ``symlinks`` is False.
    """
    if anywhere:
        return FoundPictures(list(names), [os.path.isfile(root / name) for name in names])
    result = FoundPictures(list(names), [False] * len(names))
    changed: dict[str, list[tuple[str, str]]] = defaultdict(list)
    index: _Index | None = None
    for place, name in enumerate(names):
        if is_inside(name) and os.path.isfile(root / name):
            result.is_there[place] = True
            continue
        plain, how = clean_name(name)
        found: str | None = None
        if plain and os.path.isfile(root / plain):
            found = plain
        elif plain:
            index = index or _Index(root)
            found, by = index.find(plain)
            how = by or how
        if found is not None:
            result.names[place], result.is_there[place] = found, True
            changed[how].append((name, found))
        elif how == _SEVERAL:
            changed[how].append((name, ""))
    result.notes = [_note(how, pairs, len(names)) for how, pairs in changed.items()]
    if not symlinks:
        _refuse_links([name for name, there in zip(result.names, result.is_there, strict=True) if there], root)
    return result


_SLASHES, _PREFIX = (
    "with backslashes: read as folders",
    "with a URL or an absolute path: the picture was found by its end",
)
_FORM, _FOLDER = (
    "in another Unicode form or letter case",
    "with other folders: found by their base name, which is unique",
)
_SEVERAL = "that fit several pictures: not found"


def _note(how: str, pairs: list[tuple[str, str]], total: int) -> str:
    name, found = pairs[0]
    example = f"'{name}' is {found}" if found else f"'{name}'"
    return f"{len(pairs)} of {total} file names {how} (such as {example})"


def is_inside(name: str) -> bool:
    """Returns True if a relative name stays in its folder."""
    return bool(name) and "\0" not in name and not os.path.isabs(name) and ".." not in re.split(r"[/\\]", name)


def clean_name(name: str) -> tuple[str, str]:
    """The name as a relative path with slashes, and how it was changed; "" where nothing is left."""
    how, text = _SLASHES, name.strip().replace("\0", "")
    query = parse_qs(urlsplit(text).query) if "?d=" in text else {}
    if "d" in query:  # Label Studio's local files: /data/local-files/?d=folder/picture.jpg
        text, how = query["d"][0], _PREFIX
    elif _URL.match(text):
        text, how = unquote(urlsplit(text).path), _PREFIX
    text = text.replace("\\", "/")
    if _DRIVE.match(text) or text.startswith("/"):
        text, how = re.sub(r"^([A-Za-z]:)?/+", "", text), _PREFIX
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        parts, how = parts[len(parts) - parts[::-1].index("..") :], _FOLDER
    return "/".join(parts), how


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


class _Index:
    """The files under a folder, by base name without regard to Unicode form and letter case."""

    def __init__(self, root: Path) -> None:
        self.by_base: dict[str, list[str]] = defaultdict(list)
        count = 0
        for where, folders, files in os.walk(root):
            folders.sort()
            relative = os.path.relpath(where, root).replace(os.sep, "/")
            for file in sorted(files):
                self.by_base[_plain(file)].append(file if relative == "." else f"{relative}/{file}")
            count += len(files)
            if count > _MOST_FILES:
                break

    def find(self, name: str) -> tuple[str | None, str]:
        """(the path that agrees best with the end of ``name``, how), or (None, why) where none or several do."""
        wanted = _plain(name).split("/")
        files = self.by_base.get(wanted[-1], [])
        if not files:
            return None, ""
        agreeing = [_agreeing(wanted, _plain(file).split("/")) for file in files]
        best = [file for file, count in zip(files, agreeing, strict=True) if count == max(agreeing)]
        if len(best) > 1:
            return None, _SEVERAL
        if max(agreeing) == len(wanted) == len(best[0].split("/")):
            return best[0], _FORM
        return best[0], _FOLDER


def _agreeing(wanted: list[str], path: list[str]) -> int:
    """How many parts agree, counted from the end."""
    count = 0
    for one, other in zip(reversed(wanted), reversed(path), strict=False):
        if one != other:
            break
        count += 1
    return count


def _refuse_links(names: Sequence[str], root: Path) -> None:
    inside = os.path.realpath(root) + os.sep
    out = [name for name in names if not os.path.realpath(root / name).startswith(inside)]
    if out:
        raise DataError(
            f"{counted(len(out), 'picture that is a link', 'pictures that are links')} out of {root}, such as {out[0]}",
            "pictures that lie in the folder",
            "copy them there, or say --symlinks to follow the links",
        )
