"""DeepLabCut's tables of labelled points from CSV.

The CSV has three header rows (scorer, bodyparts, coords), or four with individuals, and an index of one column (a path)
or three (labeled-data, video, picture).
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from lvtune.core.errors import DataError
from lvtune.data.formats.picture_finder import PICTURE_SUFFIXES, plain_name
from lvtune.data.formats.point_columns import PointTable, table_of_columns

LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_HOW = "a table as DeepLabCut writes it: rows scorer, bodyparts, coords, then a row a picture"


def is_point_csv(path: Path) -> bool:
    """Returns True if a CSV file begins as DeepLabCut's tables do."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [line.replace(";", ",").split(",")[0].strip() for _, line in zip(range(4), file, strict=False)]
    except (OSError, UnicodeDecodeError):
        return False
    return rows[:1] == ["scorer"] and "bodyparts" in rows and "coords" in rows


def read_point_csv(path: Path) -> PointTable:
    """Reads a table; DataError names what is wrong with it."""
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
    return table_of_columns(path, pictures, columns, np.array(values, np.float64).reshape(len(pictures), len(columns)))


def _number(cell: str, path: Path, line: int) -> float:
    text = cell.strip()
    if not text or text.lower() in ("nan", "na", "none", "null"):
        return np.nan
    try:
        return float(text)
    except ValueError:
        raise DataError(f"'{text[:40]}' in line {line} of {path}", "a number or an empty cell", "correct it") from None
