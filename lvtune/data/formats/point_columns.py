"""Labelled points as a table: a row a picture, and columns of scorer, individual, body part and coordinate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvtune.core.errors import DataError


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


def table_of_columns(
    path: Path, pictures: Sequence[str], columns: Sequence[Sequence[str]], values: np.ndarray
) -> PointTable:
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
