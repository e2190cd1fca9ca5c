"""DeepLabCut's tables of labelled points from CSV.

The CSV has three header rows (scorer, bodyparts, coords), or four with individuals, and an index of one column (a path)
or three (labeled-data, video, picture).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.formats.picture_finder import PICTURE_SUFFIXES, plain_name
from lvtune.data.formats.point_columns import PointTable, refuse_predictions, table_of_columns

LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_HOW = "a table as DeepLabCut writes it: rows scorer, bodyparts, coords, then a row a picture"
_Row = tuple[int, list[str]]
"""Number of a line, and its cells."""


def is_point_csv(path: Path) -> bool:
    """Returns True if a CSV file begins as DeepLabCut's tables do."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for _, line in zip(range(4), file, strict=False)]
    except (OSError, UnicodeDecodeError):
        return False
    rows = [line.replace(";", ",").split(",")[0].strip().strip('"') for line in lines]
    return rows[:1] == ["scorer"] and "bodyparts" in rows and "coords" in rows


def read_point_csv(path: Path) -> PointTable:
    """Reads a table.

    Raises:
        DataError: not such a table; predictions; a row with a cell too many or too few; a value that is no number; a
            quotation mark that is not closed.
    """
    rows = _rows(path)
    head: dict[str, _Row] = {}
    while rows and rows[0][1][0].strip() in LEVELS:
        line, row = rows.pop(0)
        level = row[0].strip()
        if level in head:
            raise DataError(f"{path} with the row {level} in lines {head[level][0]} and {line}", _HOW, "delete one")
        head[level] = line, [cell.strip() for cell in row]
    if not {"bodyparts", "coords"} <= set(head):
        raise DataError(f"{path} without the rows bodyparts and coords", _HOW, "give CollectedData_*.csv")
    coords = head["coords"][1]
    start = next((place for place, cell in enumerate(coords) if place and cell), len(coords))
    if "likelihood" in map(str.lower, coords):  # before its further columns, which hold words, are found wrong
        refuse_predictions(path, [_name(row[:start]) for _, row in rows], coords)
    width = _width(head, start, path)
    columns = _columns({level: row for level, (_, row) in head.items()}, start, width)
    pictures, values = [], []
    for place, (line, row) in enumerate(rows):
        name = _name(row[:start])
        is_named = name.lower().endswith(PICTURE_SUFFIXES) or any(cell.strip() for cell in row[start:])
        if not place and not is_named:
            continue  # pandas writes a row for the names of the index
        _check_width(row, width, start, f"line {line} of {path}")
        pictures.append(name)
        values.append([_number(cell, path, line) for cell in row[start:width]])
    return table_of_columns(path, pictures, columns, np.array(values, np.float64).reshape(len(pictures), len(columns)))


def _name(cells: Sequence[str]) -> str:
    return "/".join(plain_name(cell) for cell in cells if cell.strip())


def _rows(path: Path) -> list[_Row]:
    """Number of the line and cells of each row that is not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        separator = ";" if first.count(";") > first.count(",") else ","
        _check_quotes(text, separator, path)
        # not text.splitlines(), which also breaks at characters that may stand in a name
        reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: {error}", _HOW, "check the file") from None


def _check_quotes(text: str, separator: str, path: Path) -> None:
    """Raises DataError at a quotation mark that has no partner in its cell: up to the next one, all would be one cell.

    A cell with a line break in it is taken for one that is not closed: no name of this table needs it.
    """
    cell = re.compile(rf' *"(?:[^"]|"")*"[ \t]*(?={separator}|$)|[^"{separator}]*(?={separator}|$)')
    for number, line in enumerate(text.split("\n") if '"' in text else (), start=1):
        place, count = 0, 1
        while (match := cell.match(line, place)) is not None and match.end() < len(line):
            place, count = match.end() + 1, count + 1
        if match is None:
            raise DataError(
                f"line {number} of {path} with a quotation mark in cell {count} that no other one closes there",
                "quotation marks in pairs, around a whole cell",
                "delete it, or put the other one at the end of the cell; one that belongs to a name is written twice",
            )


def _width(head: Mapping[str, _Row], start: int, path: Path) -> int:
    """Returns how many cells a row has, which is what most of the header rows say; empty cells at the end are none."""
    counts = Counter(_filled(row) for _, row in head.values())
    width = max(counts, key=lambda count: (counts[count], count))
    for level, (line, row) in head.items():
        _check_width(row, width, start, f"line {line} of {path}")
        empty = [str(place + 1) for place in range(start, width) if not row[place]]
        if empty and level != "scorer":
            raise DataError(
                f"line {line} of {path}, where cell {', '.join(empty[:3])} is empty",
                f"a name in each of the cells {start + 1} to {width} of the row {level}", "correct the line",
            )  # fmt: skip
    return width


def _columns(head: Mapping[str, Sequence[str]], start: int, width: int) -> list[tuple[str, ...]]:
    """Scorer, individual, body part and coordinate of each column; what has no row is an empty name."""
    scorers = list(head.get("scorer", [""] * width))
    for place in range(start + 1, width):  # a spreadsheet keeps the first of cells that were made one
        scorers[place] = scorers[place] or scorers[place - 1]
    rows = {**head, "scorer": scorers}
    return [tuple(rows[level][place] if level in rows else "" for level in LEVELS) for place in range(start, width)]


def _check_width(row: Sequence[str], width: int, start: int, where: str) -> None:
    """Raises DataError where a row is too short or too long; a cell too few would move or drop points."""
    count = len(row) if len(row) < width else _filled(row)
    if len(row) < width or count > width:
        raise DataError(
            f"{where} with {counted(count, 'cell')}",
            f"{width} cells: {start} of the picture's path and {width - start} of coordinates",
            "correct the line; a name that holds the separator needs quotation marks around it",
        )


def _filled(row: Sequence[str]) -> int:
    """Returns how many cells there are up to the last one that is not empty."""
    return max((place + 1 for place, cell in enumerate(row) if cell.strip()), default=0)


def _number(cell: str, path: Path, line: int) -> float:
    text = cell.strip()
    if not text or text.lower() in ("nan", "na", "none", "null"):
        return np.nan
    try:
        return float(text)
    except ValueError:
        raise DataError(f"'{text[:40]}' in line {line} of {path}", "a number or an empty cell", "correct it") from None
