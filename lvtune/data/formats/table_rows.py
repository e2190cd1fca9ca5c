"""Puts the rows of tables of labelled points into a project: a picture and its instances a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.formats.picture_finder import PICTURE_SUFFIXES, PictureFinder, folded
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
        self._lost: set[tuple[str, str]] = set()
        """Names of pictures that are missing, each with a labelled individual."""
        self._again: Counter[tuple[str, str]] = Counter()
        """Two tables to the pictures with the same points in both."""
        self._empty: Counter[tuple[str, str]] = Counter()
        """Likewise to those without points in both."""
        self._elsewhere: dict[Path, PictureFinder] = {}

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
        if near is not None and is_own:
            files = _OwnFolder(table, near, builder.finder, self._further(near.parent)).files()
        else:
            files = _beside(table, near, builder.finder)
        for row, name in enumerate(table.pictures):
            group = _folder(name) or (near or table.file.parent).name
            place = builder.picture(name, path=files[name], group=group, search=not is_own)
            rows = {who: self._row(table, who, row) for who in table.individuals}
            labelled = {who: points for who, points in rows.items() if np.isfinite(points).any()}
            if place is not None:
                places[name] = place
                self._count(place, table, labelled)
            for who, points in labelled.items():
                seen = np.where(np.isfinite(points).all(1), 2, 0)
                if self._is_lost(name, who) if place is None else self._is_known(place, who, points, table, name):
                    repeated += int((seen > 0).sum())
                else:
                    builder.add(place, points, seen, individual=who)
        known = set(builder.keypoints)
        every = [values for (_, part), values in table.points.items() if part in known]
        total = sum(int(np.isfinite(values).all(1).sum()) for values in every)
        builder.expect_points(total - repeated, table.file)
        return places

    def _further(self, labeled: Path) -> PictureFinder:
        """Looks through the folders that the user named beside the project, but not through its own labeled-data."""
        roots = [root for root in self._builder.finder.roots if root != self._builder.root]
        return self._elsewhere.setdefault(labeled, PictureFinder(roots, but=labeled))

    def _row(self, table: PointTable, individual: str, row: int) -> np.ndarray:
        """(K, 2) points of an individual in the order of the project; NaN where one of the two numbers is missing."""
        points = np.full((len(self._builder.keypoints), 2), np.nan)
        for number, part in enumerate(self._builder.keypoints):
            if (individual, part) in table.points:
                points[number] = table.points[individual, part][row]
        points[~np.isfinite(points).all(1)] = np.nan
        return points

    def _count(self, place: int, table: PointTable, labelled: Collection[str]) -> None:
        """Counts a row whose picture stood in an earlier one, where both say the same."""
        if place not in self._tables:
            self._tables[place] = table
            return
        pair, known = (short_path(self._tables[place].file), short_path(table.file)), self._points.get(place, {})
        self._again[pair] += any(who in known for who in labelled)
        self._empty[pair] += not known and not labelled

    def _is_lost(self, name: str, individual: str) -> bool:
        """Returns True where an earlier row had an individual of a picture that is missing."""
        key = self._builder.finder.key(name), individual
        was = key in self._lost
        self._lost.add(key)
        return was

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
            for one, two, count in ((*pair, same + self._empty[pair]) for pair, same in self._again.items() if same)
        ]


class _OwnFolder:
    """Finds the pictures of a table that lies in a folder of labeled-data.

    Such a folder may have been copied, and then has another name than all rows of its table say. A video of that name
    may be there too: a frame that was deleted from the copy must not get the points of that video's frame. Where rows
    name several folders, each of them means what it says.

    Args:
        table: whose pictures are looked for.
        near: its folder.
        finder: looks through the project, and the folders that the user named.
        further: looks through these folders alone.
    """

    def __init__(self, table: PointTable, near: Path, finder: PictureFinder, further: PictureFinder) -> None:
        self._near, self._finder, self._further = near, finder, further
        self._names = tuple(dict.fromkeys(table.pictures))
        self._named = {_folder(name) for name in self._names}
        self._bases = Counter(map(_base, self._names))

    def files(self) -> dict[str, Path | None]:
        """Returns the file of each path of the table; None: it is missing."""
        only = next(iter(self._named)) if len(self._named) == 1 else ""
        if only and not self._is_own(only):
            found = self._of_a_copy(only)
        else:
            found = {name: self._of_a_row(name) for name in self._names}
        return self._with_flat(found)

    def _of_a_copy(self, named: str) -> dict[str, Path | None]:
        """The files of rows that all name one other folder."""
        found = {name: self._inside(self._near, name) for name in self._names}
        if not _holds_pictures(self._near) and not any(found.values()):  # they may lie where the paths say
            return {name: self._finder.find(name, least=2) for name in self._names}
        if (self._near.parent / named).is_dir():  # frames of that name are that video's
            return found
        return {name: file or self._given(_inside(named, name)) for name, file in found.items()}

    def _of_a_row(self, name: str) -> Path | None:
        """The file of a row that means what it says, or that names the own folder among others."""
        folder, near = _folder(name), self._near
        if self._is_own(folder):
            return self._inside(near, name, is_named=True)
        if not folder:
            return self._inside(near, name) or (None if _holds_pictures(near) else self._finder.at_its_place(name))
        other = near.parent / folder
        direct = other / _base(name)
        found = self._finder.at_its_place(name) or (direct if direct.is_file() else None)
        # frames of several videos may have been put together; which one is it, where two have the same name?
        if not any(map(self._is_own, self._named)) and self._bases[_base(name)] == 1:
            found = found or self._inside(near, name)
        return found or self._inside(other, name, is_named=True)

    def _inside(self, folder: Path, name: str, *, is_named: bool = False) -> Path | None:
        """A picture of a folder in labeled-data: there, or in a folder of its name that stands for it.

        Args:
            folder: need not be there.
            name: as the table gives it; its last part counts, or all of it where it names this folder.
            is_named: it does.
        """
        inside = _inside(folder.name, name)
        file = folder / _base(name)
        if file.is_file():
            return file
        found = self._finder.at_its_place(name) if is_named else None
        if found is None and not _holds_pictures(folder):  # else a frame of that name elsewhere may be a deleted one
            found = self._finder.find(name if is_named else inside, least=2)
        return found or self._given(inside)

    def _given(self, name: str) -> Path | None:
        """A picture of that folder and name in the folders that the user named."""
        found = self._further.find(name, least=2)
        self._finder.moved += found is not None
        return found

    def _with_flat(self, found: dict[str, Path | None]) -> dict[str, Path | None]:
        """The same with pictures of one further folder that holds no others, where the project has no other video."""
        missing = {name: folded(_base(name)) for name, file in found.items() if file is None}
        beside = [one for one in self._near.parent.iterdir() if one.is_dir() and one != self._near]
        # hidden folders are a program's own, and DeepLabCut puts its plots into VIDEO_labeled
        others = [one for one in beside if not one.name.startswith(".") and not one.name.endswith("_labeled")]
        if not missing or others or len(self._named) > 1:
            return found
        flat = self._further.flat_folder()
        if not flat.keys() >= set(missing.values()):
            return found
        self._finder.moved += len(missing)
        return {name: file or flat[missing[name]] for name, file in found.items()}

    def _is_own(self, folder: str) -> bool:
        return folded(folder) == folded(self._near.name)


def _folder(name: str) -> str:
    """The folder that holds a picture, as its path says; empty where it does not."""
    return name.split("/")[-2] if "/" in name else ""


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _inside(folder: str, name: str) -> str:
    return f"{folder}/{_base(name)}"


def _holds_pictures(folder: Path) -> bool:
    """Returns True if there are pictures in a folder; macOS puts files like ``._a.png`` beside those that it copies."""
    files = folder.iterdir() if folder.is_dir() else ()
    return any(file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".") for file in files)


def _beside(table: PointTable, near: Path | None, finder: PictureFinder) -> dict[str, Path | None]:
    """The file of each path of a table; None: it is looked for by its path.

    A file in the table's own folder is taken by its name alone, if it is nowhere else and no other row has that name.
    """
    if near is None:
        return dict.fromkeys(table.pictures)
    names = dict.fromkeys(table.pictures)
    bases = Counter(_base(name) for name in names)
    files = {name: near / _base(name) for name in names}
    return {
        name: finder.at_its_place(name) or (file if file.is_file() and bases[file.name] == 1 else None)
        for name, file in files.items()
    }


def _two_rows(name: str, first: PointTable, second: PointTable) -> DataError:
    is_one = first.file == second.file
    where = f"two rows of {first.file}" if is_one else f"{first.file} and {second.file}"
    more = "" if is_one else f", or give one of the tables alone, such as {first.file}"
    return DataError(
        f"picture {name} with different points in {where}", "one row for a picture",
        f"delete the row that does not count{more}",
    )  # fmt: skip
