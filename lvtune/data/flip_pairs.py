"""Mirror pairs that a user, a COCO category or a YOLO file gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lvtune.core.errors import DataError, UsageError
from lvtune.core.registry import suggest
from lvtune.data.sides import read_sides

MIDLINE = "midline"
"""``--flip-pairs midline``: every key point lies on the midline and mirrors itself."""
_EXAMPLE = "--flip-pairs left_ear:right_ear,left_eye:right_eye"
Pairs = tuple[tuple[int, int], ...]


def parse_flip_pairs(text: str, names: Sequence[str]) -> Pairs:
    """Pairs as typed: ``left_ear:right_ear,left_eye:right_eye``; numbers from 0 also name key points.

    Args:
        text: pairs with commas between them, the left key point first; or ``midline``.
        names: K key point names.

    Returns:
        (left, right) indices; none for ``midline``.

    Raises:
        UsageError: an unknown key point, one that stands in two pairs, or no pairs.
    """
    if text.strip().lower() == MIDLINE:
        return ()
    parts = [part.strip() for part in text.split(",") if part.strip()]
    ends = [[end.strip() for end in part.split(":")] for part in parts]
    if not ends or any(len(pair) != 2 for pair in ends):
        raise UsageError(f"flip pairs '{text}'", f"pairs such as left_ear:right_ear, or {MIDLINE}", f"type {_EXAMPLE}")
    pairs = tuple((_index(left, names, text), _index(right, names, text)) for left, right in ends)
    check_pairs(pairs, len(names), f"flip pairs '{text}'")
    return pairs


def _index(name: str, names: Sequence[str], given: str) -> int:
    if name in names:
        return list(names).index(name)
    if name.isdigit() and int(name) < len(names):
        return int(name)
    raise UsageError(
        f"flip pairs '{given}' with the key point '{name}'",
        f"key points of the data: {', '.join(names)}",
        suggest(name, list(names), f"type {_EXAMPLE}"),
    )


def check_pairs(pairs: Sequence[Sequence[int]], count: int, where: str) -> None:
    """Checks that pairs name K key points, each at most once.

    Raises:
        DataError: otherwise.
    """
    ends = [end for pair in pairs for end in pair]
    if any(len(pair) != 2 for pair in pairs) or not all(0 <= end < count for end in ends):
        raise DataError(
            f"mirror pairs {[list(pair) for pair in pairs]} of {where}",
            f"pairs of key point indices from 0 to {count - 1}",
            "correct the pairs",
        )
    if len(set(ends)) < len(ends):
        twice = next(end for end in ends if ends.count(end) > 1)
        raise DataError(
            f"key point {twice} in two mirror pairs of {where}",
            "each key point in one pair at most",
            "correct the pairs",
        )


def pairs_of_category(category: Mapping[str, Any], names: Sequence[str], notes: list[str]) -> Pairs | None:
    """Mirror pairs that a category gives as ``flip_idx``, ``flip_pairs`` or ``keypoint_flip_map``; None without them.

    A ``flip_idx`` that leaves each key point where it is says nothing: exporters write it without being asked.

    Raises:
        DataError: pairs that are none.
    """
    index = category.get("flip_idx")
    if index:
        pairs = _pairs_of_index(index, len(names))
        if not pairs:
            notes.append("`flip_idx` pairs no key points: the names decide")
            return None
        return _oriented(pairs, names)
    given = category.get("flip_pairs") or category.get("keypoint_flip_map")
    if not given:
        return None
    if not isinstance(given, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in given):
        raise DataError(
            f"`flip_pairs` {str(given)[:80]}", "a list of pairs of key points", "correct or drop `flip_pairs`"
        )
    places = {name: i for i, name in enumerate(names)}
    unknown = [end for pair in given for end in pair if not isinstance(end, int) and end not in places]
    if unknown:
        raise DataError(
            f"`flip_pairs` with the key point '{unknown[0]}'", f"names or indices of {', '.join(names)}", "correct it"
        )
    found = tuple((_place(a, places), _place(b, places)) for a, b in given)
    check_pairs(found, len(names), "the category")
    return _oriented(found, names)


def _place(end: int | str, places: Mapping[str, int]) -> int:
    return places[end] if isinstance(end, str) else int(end)


def _oriented(pairs: Pairs, names: Sequence[str]) -> Pairs:
    """The left key point of each pair first, where the names say which it is."""
    reversed_pairs = {(right, left) for left, right in read_sides(names).pairs}
    return tuple((b, a) if (a, b) in reversed_pairs else (a, b) for a, b in pairs)


def _pairs_of_index(index: Any, count: int) -> Pairs:
    """``flip_idx`` -> the pairs in it, in the order of their first key points."""
    is_list = isinstance(index, list | tuple) and all(isinstance(i, int) for i in index)
    if not is_list or sorted(index) != list(range(count)) or any(index[index[i]] != i for i in range(count)):
        raise DataError(
            f"`flip_idx` {str(index)[:80]}",
            f"{count} numbers from 0 to {count - 1}: for each key point its mirror image, there and back",
            "correct or drop `flip_idx`",
        )
    return tuple((i, other) for i, other in enumerate(index) if i < other)
