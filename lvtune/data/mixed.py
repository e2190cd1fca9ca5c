"""Several tables of persons as one, for mixtures of domains."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lvtune.data.images import read_image
from lvtune.data.skeletons import Skeleton
from lvtune.data.table import Person, PoseTable

Group = tuple[float, np.ndarray]
"""Share of an epoch, and the rows that it is drawn from."""


class MixedTable:
    """N persons of several tables, with the interface of a :class:`lvtune.data.table.PoseTable`.

    Args:
        tables: name to table; their key points are the same.
        shares: of each in an epoch of training, in any unit; None: every person once.
        rows: (N, 2) table and place in it; None: all of them, table after table.
    """

    def __init__(
        self, tables: Mapping[str, PoseTable], shares: Sequence[float] | None = None, rows: np.ndarray | None = None
    ) -> None:
        self._tables, self._shares = dict(tables), shares
        counts = [len(table) for table in self._tables.values()]
        whole = [np.stack([np.full(n, part), np.arange(n)], 1) for part, n in enumerate(counts)]
        self._rows = np.concatenate(whole) if rows is None else rows
        self._list = list(self._tables.values())

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton that all tables share."""
        return self._list[0].skeleton

    @property
    def root(self) -> Path:
        """A folder without meaning: the pictures' paths are absolute."""
        return self._list[0].root

    @property
    def fingerprint(self) -> str:
        """sha256 over the fingerprints of the tables and the selection."""
        marks = [*(table.fingerprint for table in self._list), self._rows.tobytes().hex(), str(self._shares)]
        return hashlib.sha256("\n".join(marks).encode()).hexdigest()

    @property
    def notes(self) -> list[str]:
        """Notes of each table, with the name of the table."""
        return [f"{name}: {note}" for name, table in self._tables.items() for note in table.notes]

    @property
    def max_pixels(self) -> int:
        """Larger pictures are refused."""
        return max(table.max_pixels for table in self._list)

    @property
    def box_format(self) -> str | None:
        """How detector boxes were read; None with ground truth boxes."""
        found = {name: table.box_format for name, table in self._tables.items() if table.box_format}
        return "; ".join(f"{name}: {form}" for name, form in found.items()) or None

    @property
    def parts(self) -> dict[str, tuple[PoseTable, np.ndarray]]:
        """Name to (the persons of that table, their places here). Each part is scored by itself."""
        found = {}
        for part, (name, table) in enumerate(self._tables.items()):
            places = np.flatnonzero(self._rows[:, 0] == part)
            rows = self._rows[places, 1]
            whole = len(rows) == len(table) and (rows == np.arange(len(table))).all()
            if len(rows) or not len(table):
                found[name] = (table if whole else table.select(rows), places)
        return found

    @property
    def groups(self) -> list[Group] | None:
        """Shares and rows that an epoch is sampled from; None: every person once."""
        if self._shares is None:
            return None
        rows = [np.flatnonzero(self._rows[:, 0] == part) for part in range(len(self._list))]
        return [(share, places) for share, places in zip(self._shares, rows, strict=True) if len(places)]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Person]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Person:
        if not -len(self) <= index < len(self):
            raise IndexError(f"person {index} of a table of {len(self)}")
        index %= len(self)
        part, row = self._rows[index]
        person = self._list[part][int(row)]
        return replace(person, index=index, image=str(self.image_path(index).absolute()))

    def image_path(self, index: int) -> Path:
        """Returns the path of the picture of person ``index``."""
        part, row = self._rows[index]
        return self._list[part].image_path(int(row))

    def picture(self, index: int) -> np.ndarray:
        """Returns the picture of person ``index``, (H, W, 3) uint8 RGB."""
        return read_image(self.image_path(index), self.max_pixels)

    def column(self, name: str) -> np.ndarray:
        """Returns all N values of a field of `Person`; ids are those of the tables and may occur twice."""
        if name == "image":
            return np.array([str(self.image_path(i).absolute()) for i in range(len(self))], dtype=object)
        columns = [table.column(name) for table in self._list]
        starts = np.cumsum([0, *(len(column) for column in columns)])
        return np.concatenate(columns)[starts[self._rows[:, 0]] + self._rows[:, 1]]

    def select(self, indices: Sequence[int] | np.ndarray) -> MixedTable:
        """Returns the persons at ``indices``, in that order."""
        return MixedTable(self._tables, self._shares, self._rows[np.asarray(indices, dtype=np.int64).reshape(-1)])

    def first(self, count: int) -> MixedTable:
        """Returns the first ``count`` persons of each table."""
        return self.select(np.concatenate([places[:count] for _, places in self.parts.values()]))

    def relabelled(self, category_of: Callable[[str, str], str]) -> MixedTable:
        """Returns the persons with other categories, see :meth:`lvtune.data.pose_table.PoseTable.relabelled`."""
        tables = {name: table.relabelled(category_of) for name, table in self._tables.items()}
        return MixedTable(tables, self._shares, self._rows)

    def in_pictures_of(self, other: MixedTable) -> MixedTable:
        """Returns the persons (or detector boxes) in the pictures of ``other``, part by part."""
        theirs = other.parts
        kept = {name: table.in_pictures_of(theirs[name][0]) for name, (table, _) in self.parts.items()}
        return MixedTable(kept, self._shares)
