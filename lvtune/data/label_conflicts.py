"""Finds labels that contradict each other: the same instance with other key points under another category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lvtune.data.pose_table import PoseTable

APART = 0.05
"""Key points that lie further apart than this share of the box's longer side are other labels, and no noise."""
SHARE = 0.1
"""From this share of the instances on, the labels of a data set count as contradictory."""
_SAME_BOX = 0.02


@dataclass(frozen=True)
class LabelConflict:
    """What contradicts in a data set."""

    instances: int
    """Instances with another one at the same place whose key points contradict."""
    total: int
    """All instances."""
    categories: tuple[str, ...]
    """Categories of the instances that contradict."""


def label_conflict(table: PoseTable) -> LabelConflict | None:
    """Returns what contradicts in the labels; None where it concerns fewer instances than ``SHARE``.

    Two instances are the same one if they are in one picture with boxes that differ by at most 2 % of their size.
    They contradict if they are of different categories, and a key point that is visible in both lies apart.
    """
    kinds = table.column("category")
    if len(set(kinds)) < 2:
        return None
    boxes, points = np.asarray(table.column("bbox")), np.asarray(table.column("keypoints"))
    pictures = np.asarray(table.column("image_id"))
    found: set[int] = set()
    order = np.argsort(pictures, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(pictures[order])) + 1):
        if len(rows) > 1 and len(set(kinds[rows])) > 1:
            found.update(rows[_contradicts(boxes[rows], points[rows], kinds[rows])].tolist())
    if len(found) < SHARE * len(kinds):
        return None
    return LabelConflict(len(found), len(kinds), tuple(sorted({kinds[row] for row in found})))


def _contradicts(boxes: np.ndarray, points: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Returns (n,) bool for the n instances of one picture: boxes (n, 4), points (n, K, 3), kinds (n,)."""
    size = boxes[:, 2:].max(1)  # (n,)
    same = np.abs(boxes[:, None] - boxes[None]).max(-1) <= _SAME_BOX * size[:, None]
    seen = (points[:, None, :, 2] > 0) & (points[None, :, :, 2] > 0)  # (n, n, K)
    apart = np.linalg.norm(points[:, None, :, :2] - points[None, :, :, :2], axis=-1) > APART * size[:, None, None]
    return (same & (kinds[:, None] != kinds[None]) & (seen & apart).any(-1)).any(1)
