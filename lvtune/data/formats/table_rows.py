"""Puts the rows of tables of labelled points into a project: a picture and its instances a row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.formats.picture_finder import PICTURE_SUFFIXES
from lvtune.data.formats.point_columns import PointTable, short_path
from lvtune.data.formats.project_builder import ProjectBuilder


class TableRows:
    """Adds tables to a project. What stands in several rows, of one table or of several, is read once.

    Args:
        builder: gets the pictures and instances.
    """

    def __init__(self, builder: ProjectBuilder) -> None:
        self._builder = builder
        self._tables: dict[int, PointTable] = {}
        """Place of a picture to the table in which it stood first."""
        self._points: dict[int, dict[str, tuple[np.ndarray, PointTable]]] = {}
        """Place of a picture to its labelled individuals, and where they were read."""
        self._again: Counter[tuple[str, str]] = Counter()

    def add(self, table: PointTable, near: Path | None = None) -> dict[str, int]:
        """Adds the pictures and instances of a table; returns the path in the table to the place of the picture.

        Args:
            table: of labelled points.
            near: folder that holds the pictures, whatever the table calls it; None: the paths say where they lie.

        Raises:
            DataError: a picture stands in two rows with different points.
        """
        builder, places, repeated = self._builder, dict[str, int](), 0
        builder.notes += table.notes
        is_own = near is not None and near.parent.name == "labeled-data"
        files = _beside(table, near) if near is None or not is_own else self._in_own_folder(table, near)
        for row, (name, path) in enumerate(zip(table.pictures, files, strict=True)):
            group = _folder(name) or (near or table.file.parent).name
            place = builder.picture(name, path=path, group=group, search=not is_own)
            if place is not None:
                places[name] = place
                self._count(place, table)
            for individual in table.individuals:
                points = self._row(table, individual, row)
                seen = np.where(np.isfinite(points).all(1), 2, 0)
                if place is not None and seen.any() and self._is_known(place, individual, points, table, name):
                    repeated += int((seen > 0).sum())
                else:
                    builder.add(place, points, seen, individual=individual)
        known = set(builder.keypoints)
        labelled = [values for (_, part), values in table.points.items() if part in known]
        total = sum(int(np.isfinite(values).all(1).sum()) for values in labelled)
        builder.expect_points(total - repeated, table.file)
        return places

    def _in_own_folder(self, table: PointTable, near: Path) -> list[Path | None]:
        """The file of each row of a table whose folder in labeled-data holds its pictures.

        A folder that was copied has another name than its table says, and a video of that name may be there too: a
        frame that was deleted from the copy must not get the points of that video's frame.
        """
        finder, files = self._builder.finder, _beside(table, near)
        if near.name in map(_folder, table.pictures):  # no copy: a row that names another folder means it
            files = [
                file if _folder(name) in (near.name, "") or finder.at_its_place(name) is None else None
                for name, file in zip(table.pictures, files, strict=True)
            ]
        is_there = any(file.suffix.lower() in PICTURE_SUFFIXES for file in near.iterdir())
        for row, name in enumerate(table.pictures if not is_there else ()):
            inside = name if _folder(name) == near.name else f"{near.name}/{name.split('/')[-1]}"
            files[row] = finder.find(inside, least=2)
        # names by which the table calls its own folder
        own = {_folder(name) for name, file in zip(table.pictures, files, strict=True) if file is not None}
        named = {_folder(name) for name in table.pictures}
        own |= named if is_there and len(named) == 1 else set()  # every labelled frame may have been deleted
        for row, name in enumerate(table.pictures):
            if files[row] is None and (_folder(name) == near.name or _folder(name) not in own):
                files[row] = finder.at_its_place(name) if is_there else finder.find(name, least=2)
        return files

    def _row(self, table: PointTable, individual: str, row: int) -> np.ndarray:
        """(K, 2) points of an individual in the order of the project; NaN where one of the two numbers is missing."""
        points = np.full((len(self._builder.keypoints), 2), np.nan)
        for number, part in enumerate(self._builder.keypoints):
            if (individual, part) in table.points:
                points[number] = table.points[individual, part][row]
        points[~np.isfinite(points).all(1)] = np.nan
        return points

    def _count(self, place: int, table: PointTable) -> None:
        if place in self._tables:
            self._again[short_path(self._tables[place].file), short_path(table.file)] += 1
        else:
            self._tables[place] = table

    def _is_known(self, place: int, individual: str, points: np.ndarray, table: PointTable, name: str) -> bool:
        """Returns True where the same points were read before.

        A table without individuals has one animal in a picture: any other points of that picture are another opinion.
        """
        known = self._points.setdefault(place, {})
        rivals = [individual] if individual and "" not in known else list(known)
        for rival in (one for one in rivals if one in known):
            before, first = known[rival]
            if rival != individual or not np.array_equal(before, points, equal_nan=True):
                raise _two_rows(name, first, table)
            return True
        known[individual] = points, table
        return False

    def notes(self) -> list[str]:
        """Returns a sentence for each two tables that have pictures in common."""
        return [
            f"{counted(count, 'picture stands', 'pictures stand')} "
            + (f"twice in {one}" if one == two else f"in {one} and in {two}")
            + ": points that are the same are read once"
            for (one, two), count in self._again.items()
        ]


def _folder(name: str) -> str:
    """The folder that holds a picture, as its path says; empty where it does not."""
    return name.split("/")[-2] if "/" in name else ""


def _beside(table: PointTable, near: Path | None) -> list[Path | None]:
    """The file of each row that lies in a folder, under its own name."""
    found = [near / name.split("/")[-1] if near else None for name in table.pictures]
    return [file if file and file.is_file() else None for file in found]


def _two_rows(name: str, first: PointTable, second: PointTable) -> DataError:
    is_one = first.file == second.file
    where = f"two rows of {first.file}" if is_one else f"{first.file} and {second.file}"
    more = "" if is_one else f", or give one of the tables alone, such as {first.file}"
    return DataError(
        f"picture {name} with different points in {where}", "one row for a picture",
        f"delete the row that does not count{more}",
    )  # fmt: skip
