"""Splits own pictures into what is tuned on and what is tested on: by picture, video or folder, or by names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError
from lvtune.core.registry import suggest
from lvtune.data.table import PoseTable
from lvtune.domains.domain import Split

TEST_SHARE = 0.2
_NAME = "own pictures"
_PLURAL = {"picture": "pictures", "video": "videos", "folder": "folders"}
_FRAME = re.compile(r"[-_ .]*(?:img|frame|f)?[-_ ]*\d+$", re.IGNORECASE)
_SHOWN = 5


def divide(table: PoseTable, split: str, options: DataOptions, groups: Mapping[str, str]) -> Split:
    """Returns the part of a table that is tuned on (``train``) or tested on (any other split).

    20 % of the pictures, videos or folders (at least one) are tested on: those whose names have the smallest SHA-256,
    the same however often it is asked. With ``test_pictures``, those named there.

    Args:
        table: all persons.
        split: ``train``, ``val`` or ``test``.
        options: ``split_by`` and ``test_pictures``.
        groups: picture to its video, where the labels say so.

    Raises:
        DataError: nothing is left to tune or to test on; names that no picture has.
    """
    files = [str(file) for file in table.column("image")]
    if options.test_pictures:
        tested = _named(options.test_pictures, files, groups)
        return _part(table, split, [file in tested for file in files], "the pictures named")
    by = options.split_by if options.split_by in _PLURAL else "picture"
    keys = dict(zip(files, files if by == "picture" else _keys(files, groups, by), strict=True))
    order = sorted(set(keys.values()), key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    if len(order) < 2:
        raise DataError(
            f"one {by} ({order[0]}), which cannot be split into train and test", f"at least two {_PLURAL[by]}",
            "give --test-annotations FILE.json or --test-pictures NAMES too"
            + ("" if by == "picture" else ", or leave --split-by out"),
        )  # fmt: skip
    tested = set(order[: max(1, round(TEST_SHARE * len(order)))])
    share = 1 - TEST_SHARE if split == "train" else TEST_SHARE
    part = _part(table, split, [keys[file] in tested for file in files], f"{share:.0%} of the {_PLURAL[by]}")
    if by != "picture":
        shown = ", ".join(sorted(tested)[:_SHOWN]) + (", ..." if len(tested) > _SHOWN else "")
        part.table.notes.append(f"{by}s that are tested on ({len(tested)} of {len(order)}): {shown}")
    return part


def _part(table: PoseTable, split: str, is_test: Sequence[bool], what: str) -> Split:
    chosen = np.array(is_test, bool)
    for kind, rows in (("test", chosen), ("tune", ~chosen)):
        if not rows.any():
            raise DataError(f"a split with no picture to {kind} on", "pictures of both kinds", "name other pictures")
    what = f"not {what}" if split == "train" and what.startswith("the ") else what
    return Split(table.select(np.flatnonzero(~chosen if split == "train" else chosen)), f"{_NAME} ({what})")


def _keys(files: Sequence[str], groups: Mapping[str, str], by: str) -> list[str]:
    """The video or folder of each picture.

    A video is what the labels name, else the folder, else the file's name without its last number.
    """
    folders = [PurePosixPath(file).parent.as_posix() for file in files]
    if by == "folder":
        return folders
    named, stems = [groups.get(file, "") for file in files], [_stem(file) for file in files]
    if len(set(named)) > 1:
        return named
    return stems if len(set(folders)) == 1 and (len(set(stems)) > 1 or folders[0] == ".") else folders


def _stem(file: str) -> str:
    stem = PurePosixPath(file).stem
    return _FRAME.sub("", stem) or stem.rstrip("0123456789")


def is_list(name: str) -> bool:
    """True for a test picture's name that is a file with a name in each line."""
    return name.lower().endswith(".txt")


def _named(asked: Sequence[str], files: Sequence[str], groups: Mapping[str, str]) -> set[str]:
    """The pictures that names mean: a path, a file name with or without its ending, a folder, or a video.

    A name that ends in .txt is a file with a name a line.
    """
    wanted: list[str] = []
    for name in asked:
        if is_list(name):
            try:
                lines = Path(name).expanduser().read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"list of pictures {name} ({error})", "a text file with a name a line",
                                "check the path") from None  # fmt: skip
            wanted += [line.strip() for line in lines if line.strip()]
        else:
            wanted.append(name)
    known: dict[str, set[str]] = {}
    for file in dict.fromkeys(files):
        path = PurePosixPath(file)
        folders = [folder for parent in path.parents for folder in (parent.as_posix(), parent.name)]
        for name in {file, path.name, path.stem, groups.get(file, ""), *folders} - {"", "."}:
            known.setdefault(name, set()).add(file)
    unknown = [name for name in wanted if _tidy(name) not in known]
    if unknown:
        raise DataError(
            f"test pictures '{unknown[0]}', which no picture, folder or video is called",
            f"names such as {files[0]}", suggest(unknown[0], list(known)[:1000], "check the names"),
        )  # fmt: skip
    return {file for name in wanted for file in known[_tidy(name)]}


def _tidy(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./").rstrip("/")
