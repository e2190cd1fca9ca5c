"""One row of the table of persons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Person:
    """One person (or hand) in one picture; pixels, x to the right, y down."""

    index: int
    image: str
    """Path relative to the table's root."""
    image_id: int
    annotation_id: int
    width: int
    height: int
    bbox: np.ndarray
    """(4,) x, y, width, height, clipped to the image."""
    area: float
    keypoints: np.ndarray
    """(K, 3) x, y, visibility (0, 1, 2)."""
    category: str
    """The domain's category; empty when there is none."""
    score: float = 1.0
    """Of the detector; 1 for ground truth."""
