"""Where the estimator looks for an instance in a frame: overlapping windows of one size, and boxes around points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lvtune.prediction.frames import Size

MARGIN = 0.15
"""Margin around the sure points, as a share of their extent; the same as around labels without drawn boxes."""
LEAST_SIDE = 0.45
"""The shorter side of a box is at least this share of the longer one: the points of an animal may lie on a line."""


def windows(size: Size, side: float) -> np.ndarray:
    """Returns square boxes (M, 4) x, y, width, height that cover a frame, each overlapping the next by half.

    An instance of up to half of ``side`` lies wholly in at least one of them.

    Args:
        size: width and height of the frame in pixels.
        side: length of a window's side in pixels; the windows are at most as large as the frame.
    """
    ranges = []
    for length in size:
        own = min(float(length), side)
        count = 1 if own >= length else math.ceil((length - own) / (side / 2)) + 1
        ranges.append([(start, own) for start in np.linspace(0, length - own, count)])
    return np.array([[x, y, width, height] for y, height in ranges[1] for x, width in ranges[0]])


def box_of(points: np.ndarray, scores: np.ndarray, share: float, least: float, side: float = 0.0) -> np.ndarray | None:
    """Returns the box (4,) x, y, width, height around the sure points of a pose; None where fewer than two are sure.

    Args:
        points: (K, 2) in pixels.
        scores: (K,).
        share: points are sure whose score is at least this share of the pose's largest one, and at least ``least``.
        least: see ``share``.
        side: the box is at least as large in both directions, for where some points are not found yet.
    """
    sure = (scores >= max(least, share * float(scores.max(initial=0)))) & np.isfinite(points).all(1)
    if sure.sum() < min(2, len(points)):
        return None
    low, high = points[sure].min(0), points[sure].max(0)
    extent = high - low
    longest = max(float(extent.max()), 1.0)
    extent = np.maximum(extent, LEAST_SIDE * longest) * (1 + 2 * MARGIN)
    extent = np.maximum(extent, side)
    return np.concatenate([(low + high) / 2 - extent / 2, extent])


def clipped(box: np.ndarray, size: Size) -> np.ndarray | None:
    """Returns the part of a box inside a frame; None where less than a pixel is left."""
    low = np.clip(box[:2], 0, size)
    high = np.clip(box[:2] + box[2:], 0, size)
    return np.concatenate([low, high - low]) if (high - low >= 1).all() else None


def overlap(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Returns the intersection of two boxes over their union."""
    a, b = np.asarray(one, float), np.asarray(other, float)
    sides = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.clip(sides, 0, None)))
    whole = float(np.prod(a[2:]) + np.prod(b[2:])) - shared
    return shared / whole if whole > 0 else 0.0
