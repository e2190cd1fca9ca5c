"""Statistics of a data set's labels, from which defaults for own data are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lvtune.data.crop import PADDING
from lvtune.data.skeletons import Skeleton

MOST = 2000
"""Instances that are looked at, evenly spread."""
WHOLE = 0.9
"""Share of its picture from which on a box counts as the whole frame."""
ALL_ROUND = 60.0
"""Degrees of ``turn`` from which on instances are taken to face every way."""


class LabelTable(Protocol):
    """What is read of a :class:`lvtune.data.table.PoseTable`."""

    @property
    def skeleton(self) -> Skeleton:
        """Of the key points."""
        ...

    def __len__(self) -> int: ...
    def column(self, name: str) -> np.ndarray:
        """All values of a field."""
        ...


@dataclass(frozen=True)
class LabelStatistics:
    """What the labels of a data set say of the instances in it."""

    instances: int
    keypoints: int
    """K."""
    has_sides: bool
    """True if a mirrored picture can be labelled: left and right are known."""
    crop: tuple[float, float]
    """Median (width, height) of the crops, margin included, in picture pixels."""
    crowding: float
    """Median distance of a labelled point to the nearest other one, in picture pixels; 0 with less than two."""
    turn: float
    """95th percentile of how far an instance is turned away from the mean direction, in degrees (0 to 180)."""
    is_whole_frame: bool
    """True if the boxes are mostly whole frames."""


def label_statistics(table: LabelTable) -> LabelStatistics:
    """Looks at the labels of a table; pictures are not read.

    Args:
        table: at least one instance.
    """
    rows = np.unique(np.linspace(0, len(table) - 1, min(MOST, len(table))).round().astype(int))
    keypoints = np.asarray(table.column("keypoints"), dtype=np.float64)[rows]
    box = np.asarray(table.column("bbox"), dtype=np.float64)[rows]
    picture = np.stack([table.column("width")[rows], table.column("height")[rows]], -1).astype(np.float64)
    points = np.where(keypoints[..., 2:] > 0, keypoints[..., :2], np.nan)  # (N, K, 2)
    share = box[:, 2:].prod(1) / np.maximum(picture.prod(1), 1.0)
    width, height = np.median(box[:, 2:], axis=0) * PADDING
    return LabelStatistics(
        instances=len(table),
        keypoints=points.shape[1],
        has_sides=table.skeleton.mirrors,
        crop=(float(width), float(height)),
        crowding=_crowding(points),
        turn=turn_spread(points),
        is_whole_frame=bool(np.median(share) >= WHOLE),
    )


def _crowding(points: np.ndarray) -> float:
    """Median distance of the points (N, K, 2), NaN where unlabelled, to the nearest other one of their instance."""
    if points.shape[1] < 2:
        return 0.0
    distance = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    distance[:, np.arange(points.shape[1]), np.arange(points.shape[1])] = np.nan
    nearest = np.nanmin(np.where(np.isnan(distance), np.inf, distance), axis=-1)
    nearest = nearest[np.isfinite(nearest)]
    return float(np.median(nearest)) if len(nearest) else 0.0


def turn_spread(points: np.ndarray, rounds: int = 10) -> float:
    """How far instances are turned in the picture: by generalised Procrustes analysis with rotations alone.

    Each instance is turned on top of the mean shape, and the mean shape is worked out again. How far an instance was
    turned, less the circular mean, is its deviation.

    Args:
        points: (N, K, 2), NaN where unlabelled.
        rounds: of turning and averaging.

    Returns:
        The 95th percentile of the absolute deviations, in degrees; 0 where fewer than two instances have two points.
    """
    usable = np.isfinite(points).all(-1).sum(1) >= 2
    if usable.sum() < 2:
        return 0.0
    points = points[usable]
    seen = np.isfinite(points).all(-1)
    count = seen.sum(1, keepdims=True)
    flat = np.where(seen, points[..., 0] + 1j * points[..., 1], 0)
    shapes = np.where(seen, flat - flat.sum(1, keepdims=True) / count, 0)  # (N, K) complex, centred
    sizes = np.sqrt((np.abs(shapes) ** 2).sum(1, keepdims=True) / count)
    shapes = shapes / np.maximum(sizes, 1e-9)
    mean, turned = shapes[int(count.argmax())], np.zeros(len(shapes))
    for _ in range(rounds):
        turned = np.angle((shapes * mean.conj()).sum(1))
        mean = (shapes * np.exp(-1j * turned)[:, None]).sum(0) / np.maximum(seen.sum(0), 1)
    deviation = np.angle(np.exp(1j * turned) * np.exp(1j * turned).mean().conj())
    return float(np.degrees(np.percentile(np.abs(deviation), 95)))
