"""Writes poses as tables that other tools read: CSV with one row a pose, and DeepLabCut's CSV and H5."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.core.files import write_atomically, write_parts

CSV_FILE, DLC_CSV, DLC_H5 = "poses.csv", "dlc_poses.csv", "dlc_poses.h5"
SCORER = "lvtune"
"""DeepLabCut's name for whoever labelled; a model's name in a table of predictions."""
_KEY = "df_with_missing"  # DeepLabCut's name of the table in an H5 file
_COORDS = ("x", "y", "likelihood")


@dataclass(frozen=True)
class PoseRow:
    """One pose in a table."""

    image: str
    """Path of the picture, relative to the folder of the table."""
    bbox: Sequence[float]
    """x, y, width, height in pixels."""
    box_score: float
    names: Sequence[str]
    """K, of the key points."""
    keypoints: np.ndarray
    """(K, 2) in pixels."""
    scores: np.ndarray
    """(K,)."""
    image_id: int | None = None
    category: str | None = None
    adapter: str | None = None
    error: float | None = None
    """Mean error in pixels, where the pose has a label."""
    frame: int | None = None
    """Frame number in its video, from 0."""
    time: float | None = None
    """Seconds from the beginning of its video."""
    track: int | None = None
    """Number of the person or animal in its video."""


def write_csv(rows: Sequence[PoseRow], folder: Path) -> Path:
    """Writes ``poses.csv``, one row a pose: picture, box, scores, and x, y, score of each key point.

    Raises:
        LvtuneError: the folder cannot be written.
    """
    with_error = any(row.error is not None for row in rows)
    return write_csv_rows(rows, _all_names(rows), folder, with_error=with_error)


def write_csv_rows(
    rows: Iterable[PoseRow],
    names: Sequence[str],
    folder: Path,
    *,
    with_error: bool = False,
    with_track: bool = False,
) -> Path:
    """Writes ``poses.csv`` as :func:`write_csv` does, row after row.

    Args:
        rows: the poses.
        names: key points that get columns.
        folder: existing folder.
        with_error, with_track: whether there are columns for the error in pixels; for frame, time and track of a video.

    Raises:
        LvtuneError: the folder cannot be written.
    """
    return write_parts(folder / CSV_FILE, _csv_parts(rows, names, with_error, with_track))


def _csv_parts(rows: Iterable[PoseRow], names: Sequence[str], with_error: bool, with_track: bool) -> Iterator[str]:
    head = ["image", "image_id", "category", "adapter", "box_x", "box_y", "box_width", "box_height", "box_score"]
    head += ["mean_score", *(["error_px"] if with_error else []), *(["frame", "time", "track"] if with_track else [])]
    head += [f"{name}_{part}" for name in names for part in ("x", "y", "score")]
    yield _csv_text([head])
    for row in rows:
        cells: list[Any] = [row.image, row.image_id, row.category, row.adapter, *(_number(v) for v in row.bbox)]
        cells += [_number(row.box_score), _number(float(np.mean(row.scores)))]
        cells += [None if row.error is None else _number(row.error)] if with_error else []
        cells += [row.frame, row.time, row.track] if with_track else []
        yield _csv_text([[*cells, *_cells(row, names)]])


def write_dlc(rows: Sequence[PoseRow], pictures: Sequence[str], folder: Path) -> tuple[list[Path], list[str]]:
    """Writes DeepLabCut's table of predictions: ``dlc_poses.csv`` and, with pandas and PyTables, ``dlc_poses.h5``.

    Three header rows (scorer, bodyparts, coords); four (with individuals) where a picture has several poses. A picture
    without a pose has empty cells.

    Args:
        rows: the poses.
        pictures: every picture, in order; paths relative to ``folder``.
        folder: existing folder.

    Returns:
        The files, and notes for the user.

    Raises:
        LvtuneError: the folder cannot be written.
    """
    names = _all_names(rows)
    of_picture: dict[str, list[PoseRow]] = {picture: [] for picture in pictures}
    for row in rows:
        of_picture.setdefault(row.image, []).append(row)
    most = max((len(found) for found in of_picture.values()), default=1)
    individuals = [f"individual{i + 1}" for i in range(most)] if most > 1 else [""]
    empty = [None] * (len(names) * len(_COORDS))
    table = [
        [value for i in range(len(individuals)) for value in (_cells(found[i], names) if i < len(found) else empty)]
        for found in of_picture.values()
    ]
    return write_dlc_table(individuals, names, list(of_picture), np.array(table, dtype=float), folder)


def write_dlc_table(
    individuals: Sequence[str], names: Sequence[str], keys: Sequence[str | int], table: np.ndarray, folder: Path
) -> tuple[list[Path], list[str]]:
    """Writes the files of :func:`write_dlc` from a table of numbers.

    Args:
        individuals: I names; one that is empty: DeepLabCut's layout for a single animal.
        names: K, of the key points.
        keys: N, of the rows: paths of pictures, or frame numbers.
        table: (N, I K 3) x, y, likelihood of each key point of each individual; NaN: an empty cell.
        folder: existing folder.

    Returns:
        The files, and notes for the user.
    """
    several = list(individuals) != [""]
    columns = [(one, name, part) for one in individuals for name in names for part in _COORDS]
    lines = [["scorer", *[SCORER] * len(columns)]]
    lines += [["individuals", *(column[0] for column in columns)]] if several else []
    lines += [["bodyparts", *(column[1] for column in columns)], ["coords", *(column[2] for column in columns)]]
    table = table.reshape(len(keys), len(columns))
    rows = ([key, *(None if v != v else v for v in row.tolist())] for key, row in zip(keys, table, strict=True))  # noqa: PLR0124
    written = [write_parts(folder / DLC_CSV, chain([_csv_text(lines)], (_csv_text([row]) for row in rows)))]
    missing = [name for name in ("pandas", "tables") if importlib.util.find_spec(name) is None]
    if missing:
        return written, [f'{DLC_H5} is not written: {missing[0]} is missing (pip install "lvtune[labels]")']
    return [*written, _write_h5(folder / DLC_H5, columns, keys, table, several)], []


def _write_h5(
    path: Path, columns: list[tuple[str, str, str]], keys: Sequence[str | int], table: np.ndarray, several: bool
) -> Path:
    import pandas as pd

    heads = [(SCORER, *column) if several else (SCORER, *column[1:]) for column in columns]
    levels = ["scorer", "individuals", "bodyparts", "coords"] if several else ["scorer", "bodyparts", "coords"]
    frame = pd.DataFrame(table, index=list(keys), columns=pd.MultiIndex.from_tuples(heads, names=levels))
    temporary = path.with_suffix(".part")
    try:
        frame.to_hdf(temporary, key=_KEY, mode="w", format="fixed")
        return write_atomically(path, temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)


def check_layout(layout: str) -> None:
    """Raises an error for a layout that does not exist."""
    if layout not in LAYOUTS:
        raise UsageError(f"format '{layout}'", f"one of {', '.join(LAYOUTS)}", "leave --format out")


PLAIN, DLC = "plain", "dlc"
LAYOUTS = (PLAIN, DLC)
"""``plain``: JSON, CSV and COCO results; ``dlc``: DeepLabCut's table too."""


def _all_names(rows: Sequence[PoseRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.names))


def _cells(row: PoseRow, names: Sequence[str]) -> list[Any]:
    known = {
        name: (_number(x), _number(y), _number(score))
        for name, (x, y), score in zip(row.names, row.keypoints, row.scores, strict=True)
    }
    return [value for name in names for value in known.get(name, (None, None, None))]


def _number(value: float) -> float:
    return round(float(value), 4)


def _csv_text(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(["" if cell is None else cell for cell in line] for line in lines)
    return text.getvalue()
