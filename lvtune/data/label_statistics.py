"""Statistics of a data set's labels, from which defaults for own data are chosen."""

from __future__ import annotations

from collections.abc import Sequence
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
FEW_INSTANCES, FEW_FACTOR = 20, 2.0
"""With fewer labelled instances, the others are taken to be turned this many times as far. Ten frames often show fewer
directions than the rest: of 200 draws of ten openfield frames, a twentieth had a turn of 41 degrees or less, where all
frames have 78 (benchmarks/README.md)."""
ALIKE = 0.75
"""How well mirrored instances must fit the mean shape, as a share of how well the labelled ones do."""
LEAST_TURN = 30.0
"""Degrees that mirrored instances may be turned by at least."""


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
    mirrors_alike: bool
    """True if mirrored instances look like those that are labelled."""
    crop: tuple[float, float]
    """Median (width, height) of the crops, margin included, in picture pixels."""
    crowding: float
    """Median distance of a labelled point to the nearest other one, in picture pixels; 0 with less than two."""
    turn: float
    """95th percentile of how far a labelled instance is turned away from the mean direction, in degrees (0 to 180)."""
    is_whole_frame: bool
    """True if the boxes are mostly whole frames."""
    is_known: bool = False
    """True if the base knows the subject: then it is turned as in the base's own pictures, which the labels need not
    show."""

    @property
    def turn_of_all(self) -> float:
        """How far instances are taken to be turned, in degrees (0 to 180); more than ``turn`` where labels are few."""
        return likely_turn(self.turn, self.instances, is_known=self.is_known)


def label_statistics(table: LabelTable, *, is_known: bool = False) -> LabelStatistics:
    """Looks at the labels of a table; pictures are not read.

    Args:
        table: at least one instance.
        is_known: the base knows the subject.
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
        mirrors_alike=mirrors_alike(points, table.skeleton.flip_index, is_known=is_known),
        crop=(float(width), float(height)),
        crowding=_crowding(points),
        turn=turn_spread(points),
        is_whole_frame=bool(np.median(share) >= WHOLE),
        is_known=is_known,
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


def turn_spread(points: np.ndarray) -> float:
    """How far instances are turned in the picture.

    Args:
        points: (N, K, 2), NaN where unlabelled.

    Returns:
        The 95th percentile of the absolute deviations from the mean direction, in degrees; 0 where fewer than two
        instances have two points.
    """
    shapes = _shapes(points)
    if len(shapes) < 2:
        return 0.0
    turned = _angles(shapes, _mean_shape(shapes))
    return float(np.degrees(np.percentile(np.abs(_deviations(turned, turned)), 95)))


def likely_turn(seen: float, instances: int, *, is_known: bool) -> float:
    """Returns how far all instances are taken to be turned.

    Args:
        seen: what :func:`turn_spread` says of the labelled ones, in degrees.
        instances: number of the labelled ones.
        is_known: the base knows the subject, so few labels are taken as they are.
    """
    is_doubtful = instances < FEW_INSTANCES and not is_known
    return min(180.0, FEW_FACTOR * seen) if is_doubtful else seen


def mirrors_alike(points: np.ndarray, flip_index: Sequence[int], *, is_known: bool = False) -> bool:
    """Finds out whether mirrored instances look like those that are labelled.

    An animal that always walks to the right, or a frame of two views, never looks like its mirror image. Mirrored
    instances, left and right swapped, are compared with the mean shape of the labels: they must fit it almost as well,
    and be turned no farther than the labels are.

    Args:
        points: (N, K, 2), NaN where unlabelled.
        flip_index: for each key point the index of its mirror image.
        is_known: the base knows the subject, so few labels are taken as they are.
    """
    shapes = _shapes(points)
    if len(shapes) < 2:
        return True
    mirrored = _shapes(points[:, list(flip_index)] * np.array([-1.0, 1.0]))
    mean = _mean_shape(shapes)
    if _fit(mirrored, mean) < ALIKE * _fit(shapes, mean):
        return False
    turn = likely_turn(turn_spread(points), len(points), is_known=is_known)
    farther = np.degrees(np.median(np.abs(_deviations(_angles(mirrored, mean), _angles(shapes, mean)))))
    return bool(turn >= ALL_ROUND or farther <= max(turn, LEAST_TURN))


def _shapes(points: np.ndarray) -> np.ndarray:
    """(M, K) complex shapes, centred, of norm 1, 0 where unlabelled; of the instances with two points or more."""
    seen = np.asarray(np.isfinite(points).all(-1))
    usable = np.flatnonzero(seen.sum(1) >= 2)
    points, seen = points[usable], seen[usable]
    flat = np.where(seen, points[..., 0] + 1j * points[..., 1], 0)
    centred = np.where(seen, flat - flat.sum(1, keepdims=True) / np.maximum(seen.sum(1, keepdims=True), 1), 0)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)


def _mean_shape(shapes: np.ndarray, rounds: int = 10) -> np.ndarray:
    """(K,) mean shape by generalised Procrustes analysis with rotations alone: turn, average, and again."""
    seen = shapes != 0
    mean = shapes[int(seen.sum(1).argmax())]
    for _ in range(rounds):
        turned = np.exp(-1j * _angles(shapes, mean))
        mean = (shapes * turned[:, None]).sum(0) / np.maximum(seen.sum(0), 1)
    return mean


def _angles(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(M,) by how much each shape is turned away from the mean shape, in radians."""
    return np.angle((shapes * mean.conj()).sum(1))


def _deviations(angles: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(M,) ``angles`` less the circular mean of ``others``, within ±pi."""
    return np.angle(np.exp(1j * angles) * np.exp(1j * others).mean().conj())


def _fit(shapes: np.ndarray, mean: np.ndarray) -> float:
    """Median of how well shapes, turned on top of it, fit the mean shape: 1 is exact, 0 is not at all."""
    whole = np.linalg.norm(np.where(shapes != 0, mean, 0), axis=1)
    return float(np.median(np.abs((shapes * mean.conj()).sum(1)) / np.maximum(whole, 1e-9)))
