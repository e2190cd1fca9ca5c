"""Boxes for instances that nobody drew a box around."""

from __future__ import annotations

import numpy as np

from lvtune.data.annotation_boxes import MARGIN, boxes_of_points

__all__ = ["MARGIN", "box_around"]


def box_around(
    points: np.ndarray, visibility: np.ndarray, size: tuple[int, int], margin: float = MARGIN
) -> tuple[float, float, float, float] | None:
    """Returns x, y, width, height around the labelled points with a margin, cut at the edge of the picture.

    Args:
        points: (K, 2) in pixels.
        visibility: (K,) above 0 where labelled.
        size: width and height of the picture.
        margin: on each side, as a share of the points' longer extent.

    Returns:
        The box; None where no labelled point lies in the picture.
    """
    inside = (visibility > 0) & (points >= 0).all(1) & (points <= np.array(size)).all(1)
    if not inside.any():
        return None
    places = np.concatenate([points, inside[:, None]], 1)[None]
    x, y, width, height = boxes_of_points(places, np.array([size], float), margin)[0].tolist()
    return x, y, width, height
