"""Single values of a COCO-style file. A value that cannot be is treated as missing and counted, where one can do so."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted

_NO = ("", "0", "false", "no", "none")
_YES = ("1", "true", "yes")
_LARGEST = 1e7  # pixels; no side of a box is longer


class Counted:
    """Counts what was treated as missing, with the first example of each kind."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, one: str, rest: str, example: str) -> None:
        """Counts one case: the name of one thing, and the words that follow it."""
        self._found[one, rest].append(example)

    def sentences(self) -> list[str]:
        """One sentence for each kind."""
        found = self._found.items()
        return [f"{counted(len(cases), one)} {rest} (such as {cases[0]:.120})" for (one, rest), cases in found]


def numbers(values: Any, what: str) -> np.ndarray:
    """A flat float64 array of finite numbers.

    Raises:
        DataError: anything else.
    """
    try:
        array = np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None or not np.isfinite(array).all():
        raise DataError(f"{what}: {str(values)[:80]}", "finite numbers", "correct that entry")
    return array


def integer(value: Any, what: str) -> int:
    """A whole number of 64 bits, also written as ``"12"``.

    Raises:
        DataError: anything else.
    """
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise DataError(f"{what}: {value!r:.60}", "an integer", "number them with integers")
    return value


def finite(value: Any) -> float | None:
    """A finite number, also written as text; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def read_area(value: Any, where: str, odd: Counted) -> float:
    """``area`` in square pixels; not a number where it is missing or cannot be."""
    area = finite(value)
    can_be = area is not None and 0 < area < _LARGEST**2
    if value is not None and not can_be:
        odd.add("annotation", "with an impossible `area`: the area of the box is taken", f"{value!r:.40} of {where}")
    return area if area is not None and can_be else math.nan


def read_box(value: Any, where: str, odd: Counted | None) -> np.ndarray:
    """``bbox`` (4,) as written; not a number where it is missing or cannot be."""
    if isinstance(value, list | tuple) and len(value) == 4:
        numbers = [number for number in map(finite, value) if number is not None and abs(number) < _LARGEST]
        if len(numbers) == 4:
            return np.array(numbers, dtype=np.float64)
    if odd is not None and value not in (None, []):
        odd.add("annotation", "with an impossible `bbox`: a box is made of the key points", f"{value!r:.60} of {where}")
    return np.full(4, np.nan)


def read_crowd(value: Any, where: str, odd: Counted) -> bool:
    """``iscrowd``, also written as text."""
    if value is None or isinstance(value, bool | int | float):
        if value in (None, 0, 1):
            return bool(value)
    elif isinstance(value, str) and value.strip().lower() in (*_NO, *_YES):
        return value.strip().lower() in _YES
    odd.add("annotation", "with an `iscrowd` that is neither 0 nor 1: taken as 0", f"{value!r:.40} of {where}")
    return False


def read_count(value: Any, seen: int, where: str, odd: Counted) -> int:
    """``num_keypoints``; the number of labelled key points where it is missing or cannot be."""
    if value is None:
        return seen
    number = finite(value)
    if number is None or number < 0 or number != int(number) or (number == 0 and seen):
        odd.add(
            "annotation", "with an impossible `num_keypoints`: the key points are counted", f"{value!r:.40} of {where}"
        )
        return seen
    return int(number)


def read_points(values: Any, count: int | None, where: str, odd: Counted, *, published: bool = False) -> np.ndarray:
    """Key points (K, 3) x, y, visibility 0, 1 or 2; x and y of an unlabelled point are 0.

    A visibility above 0 is labelled (1 is hidden, any other visible); anything else is not, and its x and y are not
    looked at: they may be missing or no numbers.

    Args:
        values: x, y, visibility of each key point, flat or nested.
        count: K; None takes as many as there are.
        where: names the annotation.
        odd: gets odd visibilities.
        published: leave x and y of unlabelled points as they stand there.

    Raises:
        DataError: another count of values, or a labelled point whose x, y are no numbers.
    """
    flat = _flat(values)
    if flat is None or len(flat) % 3:
        given = f"with {len(flat)} numbers" if flat is not None else f"{values!r:.60}"
        raise DataError(f"`keypoints` of {where} {given}", "x, y, visibility for each key point", "correct that entry")
    if count is not None and len(flat) != 3 * count:
        raise DataError(
            f"{where} with {len(flat)} key point values",
            f"{3 * count}: x, y, visibility of {count} key points",
            "correct that entry",
        )
    if all(type(value) in (int, float) for value in flat):
        points = np.array(flat, dtype=np.float64).reshape(-1, 3)
        if np.isfinite(points).all() and np.isin(points[:, 2], (0, 1, 2)).all():
            if not published:
                points[points[:, 2] == 0] = 0
            return points
    triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return np.array([_point(x, y, seen, where, odd) for x, y, seen in triples])


def _point(x: Any, y: Any, seen: Any, where: str, odd: Counted) -> tuple[float, float, float]:
    """One key point whose values are not all as COCO writes them."""
    if seen is not None and not isinstance(seen, int | float):
        raise DataError(f"`keypoints` of {where}: {seen!r:.60}", "finite numbers", "correct that entry")
    flag = finite(seen)
    if flag not in (0, 1, 2):
        text = "with a visibility other than 0, 1, 2: above 0 taken as labelled"
        odd.add("key point", text, f"{seen!r:.40} of {where}")
    if flag is None or flag <= 0:
        return 0.0, 0.0, 0.0
    if not all(isinstance(value, int | float) and finite(value) is not None for value in (x, y)):
        raise DataError(f"`keypoints` of {where}: {x!r:.30}, {y!r:.30}", "finite numbers", "correct that entry")
    return float(x), float(y), 1.0 if flag == 1 else 2.0


def _flat(values: Any) -> list[Any] | None:
    """A list, or a list of lists, as one list; None for anything else."""
    if not isinstance(values, list | tuple):
        return None
    if all(isinstance(value, list | tuple) for value in values) and values:
        return [number for value in values for number in value]
    return None if any(isinstance(value, list | tuple | dict) for value in values) else list(values)
