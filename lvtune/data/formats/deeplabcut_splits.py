"""The train and test pictures of a DeepLabCut project, from training-datasets/**/Documentation_*.pickle.

The pickle holds a list of the training pictures and the numbers of the rows that train and test. It is read with
lvtune.data.safe_pickle, which runs nothing that the file names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lvtune.core.errors import LvtuneError
from lvtune.core.text import counted
from lvtune.data.formats.point_table import read_point_table
from lvtune.data.safe_pickle import load_numbers

_SHUFFLE = re.compile(r"shuffle(\d+)$")


def read_splits(
    root: Path, config: Mapping[str, Any], pictures: Mapping[str, int]
) -> tuple[dict[str, list[int]], str | None]:
    """Returns the parts train and test of the project, and a note.

    The first shuffle of the project's iteration is taken.

    Args:
        root: folder of the project.
        config: the table in config.yaml.
        pictures: path in the tables to the place of the picture.

    Returns:
        ({}, None) where the project has no split; ({}, note) where it has one that cannot be used.
    """
    folder = root / "training-datasets"
    files = sorted(folder.rglob("Documentation_*.pickle")) if folder.is_dir() else []
    current = [file for file in files if f"iteration-{config.get('iteration', 0)}" in file.parts] or files
    if not current:
        return {}, None
    file = min(current, key=_shuffle)
    name = file.relative_to(root).as_posix()
    try:
        rows = _rows(file, config)
        train, test = _numbers(load_numbers(file), len(rows))
    except (LvtuneError, ValueError) as error:
        reason = error.given if isinstance(error, LvtuneError) else str(error)
        return {}, f"the project's own split in {name} is not used: {reason}"
    parts = {part: [pictures[rows[n]] for n in numbers if rows[n] in pictures] for part, numbers in
             (("train", train), ("test", test))}  # fmt: skip
    if not parts["train"] or not parts["test"]:
        return {}, f"the project's own split in {name} is not used: one of its parts has no picture here"
    left = len(set(pictures.values()) - {*parts["train"], *parts["test"]})
    rest = f"; {counted(left, 'picture')} labelled since in neither" if left else ""
    counts = f"{counted(len(parts['train']), 'picture')} to train, {len(parts['test'])} to test"
    return parts, f"the project's own split ({name}): {counts}{rest}"


def _shuffle(file: Path) -> tuple[int, str]:
    found = _SHUFFLE.search(file.stem)
    return (int(found.group(1)) if found else 10**6, file.name)


def _rows(file: Path, config: Mapping[str, Any]) -> list[str]:
    """The pictures that the split numbers: the rows of the merged table beside the pickle."""
    stem = f"CollectedData_{config.get('scorer', '')}"
    beside = [file.parent / f"{stem}.csv", file.parent / f"{stem}.h5", *sorted(file.parent.glob("CollectedData_*.csv"))]
    table = next((path for path in beside if path.is_file()), None)
    if table is None:
        raise ValueError("the merged table CollectedData_*.csv beside it is missing")
    return list(read_point_table(table).pictures)


def _numbers(found: Any, count: int) -> tuple[list[int], list[int]]:
    """Rows that train and rows that test; -1 fills up lists of unequal length."""
    if not isinstance(found, list | tuple) or len(found) < 3:
        raise ValueError("it holds no lists of train and test pictures")
    parts = []
    for numbers in found[1:3]:
        values = [int(number) for number in numbers]
        if any(value >= count for value in values):
            raise ValueError(f"it numbers pictures up to {max(values)} of {count}")
        parts.append([value for value in values if value >= 0])
    return parts[0], parts[1]
