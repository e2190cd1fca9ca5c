"""Reads the links of a COCO category: pairs of key point numbers, which serve drawing alone."""

from __future__ import annotations

from typing import Any


def read_links(values: Any, count: int, notes: list[str]) -> tuple[tuple[int, int], ...]:
    """Links as pairs of 0-based indices; what cannot be a link is dropped.

    COCO counts from 1. Where one of the numbers is 0 and none is ``count``, all are read as counted from 0.

    Args:
        values: the category's ``skeleton``.
        count: K, the number of key points.
        notes: gets a sentence on what was dropped, and on links that count from 0.
    """
    if values is None or values == []:
        return ()
    if not isinstance(values, list | tuple):
        notes.append("`skeleton` of the category is not a list of pairs: drawn without links")
        return ()
    links = [link for link in map(_pair, values) if link is not None]
    ends = [end for link in links for end in link]
    first = 0 if 0 in ends and count not in ends else 1
    if first == 0:
        notes.append("links of the skeleton count from 0: read so")
    kept = tuple((a - first, b - first) for a, b in links if all(0 <= e - first < count for e in (a, b)) and a != b)
    if len(kept) < len(values):
        notes.append(
            f"{len(values) - len(kept)} of {len(values)} links of the skeleton are no pairs of the {count} key points: "
            "dropped (links serve drawing alone)"
        )
    return kept


def _pair(value: Any) -> tuple[int, int] | None:
    """Two whole numbers, also written as ``1.0`` or ``"1"``; None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    ends = [int(end) if isinstance(end, str) and end.strip().isdigit() else end for end in value]
    if not all(isinstance(end, int | float) and abs(end) < 10**9 and end == int(end) for end in ends):
        return None
    return int(ends[0]), int(ends[1])
