"""Boxes for instances that nobody drew a box around."""

from __future__ import annotations

import numpy as np

MARGIN = 0.15
"""Margin on each side, as a share of the longer side of what the points span."""
LEAST = 0.04
"""Margin at least, as a share of the shorter side of the picture."""


def box_around(
    points: np.ndarray, visibility: np.ndarray, size: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Returns x, y, width, height around the labelled points with a margin, cut at the edge of the picture.

    Args:
        points: (K, 2) in pixels.
        visibility: (K,) above 0 where labelled.
        size: width and height of the picture.

    Returns:
        The box; None where no labelled point lies in the picture.
    """
    width, height = size
    inside = (visibility > 0) & (points >= 0).all(1) & (points <= np.array([width, height])).all(1)
    if not inside.any():
        return None
    low, high = points[inside].min(0), points[inside].max(0)
    margin = max(MARGIN * float((high - low).max()), LEAST * min(width, height))
    x0, y0 = np.maximum(low - margin, 0)
    x1, y1 = np.minimum(high + margin, [width, height])
    return float(x0), float(y0), float(x1 - x0), float(y1 - y0)
