"""Reads and chooses the size of the pictures that a base takes."""

from __future__ import annotations

import re

from lvtune.bases.base import Base
from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError
from lvtune.data.label_statistics import ALL_ROUND, LabelStatistics

AUTO, OWN = "auto", "own"
PIXELS = 1.5
"""Picture pixels that one input pixel may stand for."""
APART = 12.0
"""Input pixels that neighbouring key points are to lie apart: three pixels of the heatmap, whose sigma is two."""
LARGEST = 256 * 256
"""Input pixels at most, unless the base's own size has more: the cost of a step grows with them."""
NARROWEST = 0.5
"""Short side over long side at the least, or that of the base's own size: it has learnt its positions there, and a
narrower crop loses points as soon as it is turned."""


def parse_size(text: str) -> tuple[int, int] | None:
    """(H, W) of a size such as ``256x192``; None for ``auto`` and ``own``.

    Raises:
        LvtuneError: neither.
    """
    if text in (AUTO, OWN):
        return None
    found = re.fullmatch(r"\s*(\d{1,5})\s*[x×,]\s*(\d{1,5})\s*", text, re.IGNORECASE)
    if found is None:
        raise LvtuneError(
            f"input size '{text}'", "height x width in pixels, such as 256x192, or auto or own",
            "type --base.input-size 256x192",
        )  # fmt: skip
    return int(found[1]), int(found[2])


def choose_input_size(base: Base, labels: LabelStatistics) -> tuple[tuple[int, int], Decision]:
    """Chooses an input size for a data set with new key points.

    The longer side of the crop gets one input pixel for at most ``PIXELS`` picture pixels, and neighbouring key points
    lie ``APART`` input pixels apart, within ``LARGEST``. The aspect is that of the crops; it is a square where the
    subject faces every way.

    Args:
        base: with its own input size.
        labels: of the data set.
    """
    own, step = base.input_size, base.size_step
    if not step:
        return own, Decision("input size", _show(own), f"{base.name} takes its own size alone")
    width, height = labels.crop
    long, short = max(width, height), min(width, height)
    finest = min(long, long * max(1 / PIXELS, APART / labels.crowding if labels.crowding else 0.0))
    least = max(NARROWEST, min(own) / max(own))
    narrow = 1.0 if labels.turn_of_all >= ALL_ROUND else max(short / long, least)
    limit = (max(LARGEST, own[0] * own[1]) / narrow) ** 0.5
    long_side = min(max(finest, *own), limit)
    sides = [long_side, long_side * narrow] if height >= width else [long_side * narrow, long_side]
    size = (_rounded(sides[0], step, limit), _rounded(sides[1], step, limit))
    why = f"crops are {width:.0f}x{height:.0f} px (width x height), neighbouring points {labels.crowding:.0f} px apart"
    return size, Decision("input size", _show(size), f"{why}; the base's own is {_show(own)}")


def _rounded(side: float, step: int, limit: float) -> int:
    fits = max(2, round(side / step))
    return step * (fits if fits * step <= limit + 1e-6 else max(2, int(limit // step)))


def _show(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
