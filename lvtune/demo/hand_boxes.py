"""Boxes that a visitor types or clicks."""

from __future__ import annotations

import re

import numpy as np

from lvtune.core.errors import UsageError

MOST = 20
"""Boxes by hand at most, so that one visitor does not hold up the others."""
_EXPECTED = "x, y, width, height in pixels, several boxes with ; between them"


def parse_hand_boxes(text: str, size: tuple[int, int]) -> np.ndarray:
    """Reads boxes such as ``10, 20, 100, 200; 150, 20, 90, 180``.

    Args:
        text: as typed.
        size: width and height of the picture in pixels.

    Returns:
        (M, 4) x, y, width, height, M at least 1; parts outside the picture are cut off.

    Raises:
        UsageError: no box, other than four numbers, an empty box, a box outside the picture, too many.
    """
    parts = [part for part in re.split(r"[;\n]", text) if part.strip()]
    if not parts:
        raise UsageError("no box", _EXPECTED, "click two opposite corners in the picture, or type a box")
    if len(parts) > MOST:
        raise UsageError(f"{len(parts)} boxes", f"at most {MOST}", "leave some out")
    return np.array([_one(part.strip(), size) for part in parts])


def _one(text: str, size: tuple[int, int]) -> list[float]:
    words = re.split(r"[,\s]+", text.strip(" ,[]()"))
    try:
        x, y, width, height = map(float, words)
    except ValueError:
        raise UsageError(f"box '{text}'", _EXPECTED, "type for example 10, 20, 100, 200") from None
    if not np.isfinite([x, y, width, height]).all() or width <= 0 or height <= 0:
        raise UsageError(f"box '{text}'", "a width and a height above 0", "type for example 10, 20, 100, 200")
    left, top = max(0.0, x), max(0.0, y)
    right, bottom = min(float(size[0]), x + width), min(float(size[1]), y + height)
    if right - left < 1 or bottom - top < 1:
        given = f"box '{text}', which lies outside the picture"
        raise UsageError(given, f"a box inside {size[0]} x {size[1]} pixels", "compare it with the picture's size")
    return [left, top, right - left, bottom - top]


def box_of_corners(first: tuple[float, float], second: tuple[float, float]) -> str:
    """Returns the box between two opposite corners as text that :func:`parse_hand_boxes` reads.

    Raises:
        UsageError: the corners lie in one line.
    """
    (a, b), (c, d) = first, second
    if abs(a - c) < 1 or abs(b - d) < 1:
        raise UsageError("two corners in one line", "two opposite corners of a box", "click twice more")
    return ", ".join(f"{value:g}" for value in (min(a, c), min(b, d), abs(a - c), abs(b - d)))


def with_box(text: str, box: str) -> str:
    """Returns the text with one more box at its end."""
    return f"{text.strip().rstrip(';')}; {box}" if text.strip() else box
