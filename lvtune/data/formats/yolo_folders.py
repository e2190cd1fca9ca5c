"""Where the pictures and text files of a YOLO data set lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError
from lvtune.data.formats.picture_finder import PICTURE_SUFFIXES, pictures_below

_KEYS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def pictures_of_parts(config: Mapping[str, Any], entry: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Returns part (train, val, test) to its picture files, and notes.

    Folders are those that data.yaml names; where none of them exists, those of the usual layouts beside it.

    Raises:
        DataError: there is no picture.
    """
    home = entry.parent
    given = str(config.get("path") or "").replace("\\", "/")
    roots = [home / given, home, home.parent] if given else [home]
    parts: dict[str, list[Path]] = {}
    asked: list[str] = []
    for part, keys in _KEYS.items():
        value = next((config[key] for key in keys if config.get(key)), None)
        for one in value if isinstance(value, list) else [value] if value else []:
            asked.append(str(one))
            parts.setdefault(part, []).extend(_pictures(str(one), roots))
    found = {part: list(dict.fromkeys(pictures)) for part, pictures in parts.items() if pictures}
    if found:
        lacking = [part for part, pictures in parts.items() if not pictures]
        return found, [f"data.yaml names a folder for {part}, where no picture is: left out" for part in lacking]
    found = _usual(home)
    if not found:
        raise DataError(
            f"{entry}, which names {', '.join(asked) or 'no folder'}: no picture is there",
            f"pictures in images/train or train/images beside {entry.name}", "correct `path`, `train` and `val` there",
        )  # fmt: skip
    return found, [f"the folders in data.yaml ({', '.join(asked) or 'none'}) do not exist: those beside it are taken"]


def _pictures(value: str, roots: list[Path]) -> list[Path]:
    """The pictures of a folder, or those that a text file lists."""
    text = value.replace("\\", "/")
    # Roboflow writes ../train/images for a folder beside data.yaml; Ultralytics drops the dots
    tries = [root / name for root in roots for name in dict.fromkeys([text, text.removeprefix("../")])]
    for path in tries:
        if path.is_dir() and pictures_below(path):
            return [picture.resolve() for picture in pictures_below(path)]
        if path.suffix == ".txt" and path.is_file():
            lines = path.read_text(encoding="utf-8-sig").replace("\\", "/").splitlines()
            return [_listed(line.strip(), path.parent).resolve() for line in lines if line.strip()]
    return []


def _listed(line: str, folder: Path) -> Path:
    return folder / line.removeprefix("./")


def _usual(home: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for part, keys in _KEYS.items():
        for key in keys:
            for folder in (home / "images" / key, home / key / "images"):
                pictures = [path.resolve() for path in pictures_below(folder)]
                if pictures:
                    found.setdefault(part, []).extend(pictures)
    return found


def label_file(picture: Path) -> Path | None:
    """Returns the text file of a picture: its path with the last folder `images` as `labels`."""
    if picture.suffix.lower() not in PICTURE_SUFFIXES:
        return None
    parts = list(picture.with_suffix(".txt").parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts)
