"""Which points belong to which instance, where a tool stores points and rectangles one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lvtune.core.errors import DataError


@dataclass(frozen=True, eq=False)
class Mark:
    """A point, or a rectangle as its corners."""

    number: str
    """Id that other marks refer to."""
    label: str
    corners: np.ndarray
    """(1, 2) of a point, (n, 2) of a rectangle, in pixels."""
    is_point: bool
    visibility: int = 2

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height around the corners."""
        low, high = self.corners.min(0), self.corners.max(0)
        return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


@dataclass
class Group:
    """The points of one instance, and its rectangle where there is one."""

    owner: Mark | None
    is_sure: bool = True
    """False for points that several rectangles could own."""
    points: list[Mark] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Category of the instance."""
        return "" if self.owner is None else self.owner.label

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """The drawn rectangle; None where there is none."""
        return None if self.owner is None else self.owner.box

    def arrays(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns (K, 2) points in pixels, NaN where there is none, and (K,) visibility."""
        points, seen = np.full((len(names), 2), np.nan), np.zeros(len(names), np.int64)
        for mark in self.points:
            place = names.index(mark.label)
            points[place], seen[place] = mark.corners[0], mark.visibility
        return points, seen


def instances_of(marks: Iterable[Mark], ties: Mapping[str, str], names: Sequence[str], where: str) -> list[Group]:
    """Sorts points to rectangles: by ties, else to the only rectangle, else to the only one that they lie in.

    Args:
        marks: of one picture.
        ties: id of a mark to the id of the mark that it belongs to.
        names: key points; points of other names must not be among the marks.
        where: the picture, for errors.

    Returns:
        A group for each rectangle, and one without a rectangle for points that are left.

    Raises:
        DataError: two points of one name in one instance.
    """
    marks = list(marks)
    groups = {mark.number: Group(mark) for mark in marks if not mark.is_point}
    free = Group(None, is_sure=not groups)
    for mark in (one for one in marks if one.is_point):
        owner = _tied(mark.number, ties, groups)
        if owner is None and len(groups) == 1:
            owner = next(iter(groups))
        if owner is None:
            around = [number for number, group in groups.items() if group.box and _holds(group.box, mark.corners[0])]
            owner = around[0] if len(around) == 1 else None
        (free if owner is None else groups[owner]).points.append(mark)
    found = [*groups.values(), *([free] if free.points else [])]
    for group in (one for one in found if one.is_sure):
        twice = [name for name, count in Counter(mark.label for mark in group.points).items() if count > 1]
        if twice:
            raise DataError(
                f"{where} with {twice[0]} twice in one instance", "each key point once in an instance",
                "draw a rectangle around each animal or person and tie its points to it, or give the points group ids",
            )  # fmt: skip
    return found


def _tied(number: str, ties: Mapping[str, str], groups: Mapping[str, Group]) -> str | None:
    """The rectangle at the end of a chain of ties."""
    seen: set[str] = set()
    while number in ties and number not in seen:
        seen.add(number)
        number = ties[number]
        if number in groups:
            return number
    return None


def _holds(box: tuple[float, float, float, float], point: np.ndarray) -> bool:
    x, y, width, height = box
    return bool(x <= point[0] <= x + width and y <= point[1] <= y + height)
