"""DeepLabCut's tables of labelled points, from CSV and from H5, without running anything that the file names.

The CSV has three header rows (scorer, bodyparts, coords), or four with individuals, and an index of one column (a path)
or three (labeled-data, video, picture). The H5 holds the same table as pandas writes it, fixed or as a table.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError, LvtuneError
from lvtune.data.formats.hdf5_check import check_hdf5
from lvtune.data.formats.labels_extra import need
from lvtune.data.formats.picture_finder import PICTURE_SUFFIXES, plain_name
from lvtune.data.safe_pickle import plain_of

LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_HOW = "a table as DeepLabCut writes it: rows scorer, bodyparts, coords, then a row a picture"


@dataclass(frozen=True)
class PointTable:
    """N pictures, each with x and y of every point."""

    file: Path
    pictures: tuple[str, ...]
    """N paths as the table gives them, with forward slashes."""
    individuals: tuple[str, ...]
    """In the order of the columns; one empty name in a table of single animals."""
    bodyparts: tuple[str, ...]
    """In the order of the columns."""
    points: dict[tuple[str, str], np.ndarray]
    """(individual, body part) to (N, 2) x, y in pixels; NaN where not labelled."""

    @property
    def labelled(self) -> int:
        """How many points have both numbers."""
        return sum(int(np.isfinite(values).all(1).sum()) for values in self.points.values())


def is_point_csv(path: Path) -> bool:
    """Returns True if a CSV file begins as DeepLabCut's tables do."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [line.replace(";", ",").split(",")[0].strip() for _, line in zip(range(4), file, strict=False)]
    except (OSError, UnicodeDecodeError):
        return False
    return rows[:1] == ["scorer"] and "bodyparts" in rows and "coords" in rows


def read_point_table(path: Path) -> PointTable:
    """Reads a table of either kind.

    Raises:
        DataError: not such a table; a value that is no number; predictions in place of labels.
    """
    table = _read_h5(path) if path.suffix.lower() in (".h5", ".hdf5") else _read_csv(path)
    named = [name for name in table.pictures if name.lower().endswith(PICTURE_SUFFIXES)]
    if table.pictures and not named:
        raise DataError(
            f"{path}, whose rows name no pictures (the first is '{table.pictures[0]}')",
            "labelled pictures; this looks like DeepLabCut's predictions for a video",
            "give the project folder, or CollectedData_*.csv in labeled-data",
        )
    return table


def _read_csv(path: Path) -> PointTable:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}", _HOW, "check the file") from None
    first = text.partition("\n")[0]
    rows = list(csv.reader(text.splitlines(), delimiter=";" if first.count(";") > first.count(",") else ","))
    head: dict[str, list[str]] = {}
    while rows and rows[0] and rows[0][0].strip() in LEVELS:
        row = rows.pop(0)
        head[row[0].strip()] = [cell.strip() for cell in row]
    if not {"bodyparts", "coords"} <= set(head):
        raise DataError(f"{path} without the rows bodyparts and coords", _HOW, "give CollectedData_*.csv")
    coords = head["coords"]
    start = next((place for place, cell in enumerate(coords) if place and cell), len(coords))
    columns = [tuple(head[level][place] for level in LEVELS if level in head) for place in range(start, len(coords))]
    pictures, values = [], []
    for number, row in enumerate(rows):
        if not any(cell.strip() for cell in row):
            continue
        cells = row[start:] + [""] * (len(coords) - len(row))
        name = "/".join(plain_name(cell) for cell in row[:start] if cell.strip())
        if not name.lower().endswith(PICTURE_SUFFIXES) and not any(cell.strip() for cell in cells):
            continue  # pandas writes a row for the names of the index
        pictures.append(name)
        values.append([_number(cell, path, number + len(head) + 1) for cell in cells])
    return _table(path, pictures, columns, np.array(values, np.float64).reshape(len(pictures), len(columns)))


def _number(cell: str, path: Path, line: int) -> float:
    text = cell.strip()
    if not text or text.lower() in ("nan", "na", "none", "null"):
        return np.nan
    try:
        return float(text)
    except ValueError:
        raise DataError(f"'{text[:40]}' in line {line} of {path}", "a number or an empty cell", "correct it") from None


def _table(path: Path, pictures: Sequence[str], columns: Sequence[Sequence[str]], values: np.ndarray) -> PointTable:
    """Sorts columns of (scorer, [individual,] body part, coordinate) into points."""
    found: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for place, column in enumerate(columns):
        individual = column[-3] if len(column) == 4 else ""
        found.setdefault((individual, column[-2]), {})[column[-1]] = values[:, place]
    for (_, part), axes in found.items():
        if not {"x", "y"} <= set(axes):
            raise DataError(
                f"{path} with {' and '.join(axes)} of {part}", "x and y of each body part", "correct the table"
            )
    points = {key: np.stack([axes["x"], axes["y"]], 1) for key, axes in found.items()}
    names = tuple(dict.fromkeys(individual for individual, _ in points))
    return PointTable(path, tuple(pictures), names, tuple(dict.fromkeys(part for _, part in points)), points)


def _read_h5(path: Path) -> PointTable:
    h5py = need("h5py", f"DeepLabCut's {path.name}")
    check_hdf5(path, "an H5 file as DeepLabCut writes it", "save the CSV in DeepLabCut, and give that")
    try:
        with h5py.File(path, "r") as file:
            groups = [group for group in file.values() if isinstance(group, h5py.Group)]
            for group in groups:
                if "table" in group:
                    return _table(path, *_appendable(group))
                if "axis0_level0" in group:
                    return _table(path, *_fixed(group, path))
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(
            f"{path}: {type(error).__name__}: {str(error)[:100]}", "an H5 file as DeepLabCut writes it",
            "save the CSV in DeepLabCut, and give that",
        ) from error  # fmt: skip
    raise DataError(f"{path} without a table of points", "an H5 file as DeepLabCut writes it", "give CollectedData_*")


def _fixed(group: Any, path: Path) -> tuple[list[str], list[tuple[str, ...]], np.ndarray]:
    """A table that pandas wrote in its fixed form: levels and codes of both axes, blocks of values."""
    columns = _axis(group, "axis0", path)
    pictures = ["/".join(plain_name(part) for part in row) for row in _axis(group, "axis1", path)]
    values = np.full((len(pictures), len(columns)), np.nan)
    place = {column: number for number, column in enumerate(columns)}
    for block in range(int(group.attrs["nblocks"])):
        items = _axis(group, f"block{block}_items", path)
        if not items:
            continue
        content = _plain(group[f"block{block}_values"], path)
        content = content if content.shape == (len(pictures), len(items)) else content.T
        values[:, [place[item] for item in items]] = content
    return pictures, columns, values


def _axis(group: Any, name: str, path: Path) -> list[tuple[str, ...]]:
    """The labels of an axis, each a tuple with one text a level."""
    if f"{name}_level0" not in group:
        return [(text,) for text in _texts(_plain(group[name], path))]
    levels = []
    while f"{name}_level{len(levels)}" in group:
        words = _texts(_plain(group[f"{name}_level{len(levels)}"], path))
        codes = _plain(group[f"{name}_label{len(levels)}"], path)
        levels.append([words[code] if code >= 0 else "" for code in codes])
    return list(zip(*levels, strict=True))


def _plain(dataset: Any, path: Path) -> np.ndarray:
    """The array in a data set of numbers or texts of fixed length; pickled objects are refused."""
    if dataset.dtype.kind not in "biufS":
        raise DataError(f"{path} with pickled objects in {dataset.name}", "numbers and texts", "give the CSV instead")
    return dataset[()]


def _texts(values: np.ndarray) -> list[str]:
    return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values.tolist()]


def _appendable(group: Any) -> tuple[list[str], list[tuple[str, ...]], np.ndarray]:
    """A table that pandas wrote in its table form: the names of the columns are pickled texts."""
    rows = group["table"][()]
    if "index" not in (rows.dtype.names or ()):
        raise KeyError("index")
    columns: list[tuple[str, ...]] = []
    blocks: list[np.ndarray] = []
    for name in rows.dtype.names[1:]:
        try:
            kinds = plain_of(bytes(group["table"].attrs[f"{name}_kind"]), f"the column names of {group.file.filename}")
        except LvtuneError as error:
            raise DataError(error.given, error.expected, "give the CSV instead") from None
        columns += [tuple(str(part) for part in kind) for kind in kinds]
        blocks.append(rows[name].reshape(len(rows), -1))
    pictures = [plain_name(text) for text in _texts(rows["index"])]
    return pictures, columns, np.concatenate(blocks, 1).astype(np.float64)
