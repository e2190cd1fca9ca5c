"""Labelled points as a table: a row a picture, and columns of scorer, individual, body part and coordinate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.formats.picture_finder import PICTURE_SUFFIXES

_SHOWN = 3


class NoLabelsError(DataError):
    """A table of points that is no table of labels."""

    def __init__(self, path: Path, why: str, expected: str, fix: str) -> None:
        super().__init__(f"{path}, whose {why}", expected, fix)
        self.note = f"{short_path(path)} is left out: its {why}, so it holds no labels"


def refuse_predictions(path: Path, pictures: Sequence[str], axes: Iterable[str]) -> None:
    """Raises NoLabelsError where rows name no pictures, or where a column tells how sure a network was."""
    if pictures and not any(name.lower().endswith(PICTURE_SUFFIXES) for name in pictures):
        raise NoLabelsError(
            path, f"rows name no pictures (the first is '{pictures[0]}')",
            "labelled pictures; this looks like DeepLabCut's predictions for a video",
            "give the project folder, or CollectedData_*.csv in labeled-data",
        )  # fmt: skip
    if any(axis.strip().lower() == "likelihood" for axis in axes):
        raise NoLabelsError(
            path, "columns likelihood are those of predictions", "points that a person labelled",
            "give CollectedData_*.csv; if a person has corrected this table, delete its columns likelihood",
        )  # fmt: skip


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
    notes: tuple[str, ...] = ()
    """What was decided on reading, one sentence each."""

    @property
    def labelled(self) -> int:
        """How many points have both numbers."""
        return sum(int(np.isfinite(values).all(1).sum()) for values in self.points.values())


def table_of_columns(
    path: Path, pictures: Sequence[str], columns: Sequence[Sequence[str]], values: np.ndarray
) -> PointTable:
    """Sorts columns of (scorer, [individual,] body part, coordinate) into points; those of several scorers are merged.

    Raises:
        DataError: a column stands twice; x or y is missing; two scorers labelled a point of one row in two ways;
            the table holds predictions.
    """
    refuse_predictions(path, pictures, [column[-1] for column in columns])
    full = [(column[0], column[1] if len(column) == 4 else "", column[-2], column[-1]) for column in columns]
    twice = [column for column, count in Counter(full).items() if count > 1]
    if twice:
        shown = "; ".join(" ".join(filter(None, column)) for column in twice[:_SHOWN])
        raise DataError(
            f"{path}, where columns stand twice: {shown}" + ("; ..." if len(twice) > _SHOWN else ""),
            "each coordinate of a body part once", "delete the columns that do not count, or rename them",
        )  # fmt: skip
    places: dict[tuple[str, str, str], dict[str, int]] = {}
    for place, (scorer, individual, part, axis) in enumerate(full):
        places.setdefault((scorer, individual, part), {})[axis] = place
    by_scorer: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for (scorer, individual, part), axes in places.items():
        if not {"x", "y"} <= set(axes):
            raise DataError(
                f"{path} with {' and '.join(axes)} of {part}", "x and y of each body part", "correct the table"
            )
        by_scorer.setdefault((individual, part), {})[scorer] = values[:, [axes["x"], axes["y"]]]
    points = {key: _merged(path, pictures, key[1], found) for key, found in by_scorer.items()}
    names = tuple(dict.fromkeys(individual for individual, _ in points))
    parts = tuple(dict.fromkeys(part for _, part in points))
    return PointTable(path, tuple(pictures), names, parts, points, _note_of_scorers(path, by_scorer))


def _merged(path: Path, pictures: Sequence[str], part: str, found: dict[str, np.ndarray]) -> np.ndarray:
    """The points of a body part, each row from the scorer that labelled it."""
    (first, merged), *others = found.items()
    merged = merged.copy()
    owner = np.full(len(merged), first, object)
    for scorer, points in others:
        both = np.isfinite(merged).all(1) & np.isfinite(points).all(1)
        differ = np.flatnonzero(both & (merged != points).any(1))
        if len(differ):
            row = differ[0]
            raise DataError(
                f"{path} with two points for {part} of {pictures[row]}: by {owner[row]} and by {scorer} "
                f"({counted(len(differ), 'row')})",
                "one scorer's points for a picture",
                f"delete the columns of {owner[row]} or of {scorer}, or their values in the rows that do not count",
            )
        new = np.isfinite(points).all(1) & ~both
        merged[new], owner[new] = points[new], scorer
    return merged


def _note_of_scorers(path: Path, by_scorer: dict[tuple[str, str], dict[str, np.ndarray]]) -> tuple[str, ...]:
    """A sentence for a table of several scorers: how many rows each of them labelled."""
    rows: dict[str, np.ndarray] = {}
    for found in by_scorer.values():
        for scorer, points in found.items():
            rows[scorer] = np.asarray(rows.get(scorer, False) | np.isfinite(points).all(1))
    if len(rows) < 2:
        return ()
    shares = ", ".join(f"{scorer} ({counted(int(seen.sum()), 'row')})" for scorer, seen in rows.items())
    common = int((np.sum(list(rows.values()), 0) > 1).sum())
    shared = f"; {counted(common, 'row has', 'rows have')} points of several" if common else ""
    return (f"the scorers of {short_path(path)} are merged: {shares}{shared}",)


def short_path(path: Path) -> str:
    """The name of a table and of its folder, for notes."""
    return f"{path.parent.name}/{path.name}"
