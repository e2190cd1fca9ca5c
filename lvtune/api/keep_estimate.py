"""Estimates how much of the source score remains, from two measurements on the same few pictures.

The first is the score itself, as a share of the base's. On 64 pictures it is off by two to three percent by chance, for
points that change from wrong to right and from right to wrong nearly cancel out, and either may win. The second is how
many points moved at all, by more than the threshold of PCK, from where the base alone puts them. It does not ask which
are right, so chance changes it little. The more points moved, the more of them got worse: over methods, shares of the
change and seeds the loss follows it within two percent (measured; benchmarks/README.md, "Keeping the source"). The
estimate is the mean of both, each weighed by how exact it is. Where shorter runs are measured in place of the last one,
its change is larger at the same share: it moves more points, and loses more.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lvtune.api.calibrating import THRESHOLD, rows_of
from lvtune.evaluation.pck import hits_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split

GAIN, LOSS, EXACT = 0.02, 0.5, 0.018
"""Of a change after which the share m of the points moved, 1 + GAIN - LOSS m of the source score is expected to remain;
EXACT is the standard deviation of what did remain from it; methods differ (measured; benchmarks/README.md)."""
GROWTH = 1.25
"""The last run moves so many times as many points as runs of half its length (measured; benchmarks/README.md)."""
TOGETHER = 2.0
"""Points of one picture move together: they say as much as so many times fewer would alone."""


@dataclass(frozen=True)
class Remains:
    """How much of the source score remains."""

    share: float
    """1: all of it."""
    deviation: float
    """Standard deviation of the estimate."""

    def at_least(self, sure: float) -> float:
        """Returns the share that remains with this probability."""
        return self.share - NormalDist().inv_cdf(sure) * self.deviation


class Moved(NamedTuple):
    """How many labelled points moved, by more than the threshold of PCK."""

    share: float
    points: int
    """Of all that count."""


def estimate(measured: float, deviation: float, moved: Moved | None, growth: float = 1.0) -> Remains:
    """Returns the weighted mean of both measurements.

    Args:
        measured: score as a share of the base's.
        deviation: standard deviation of it, by chance.
        moved: None: the score alone counts.
        growth: the run in question moves so many times as many points as the one that was measured.
    """
    if moved is None:
        return Remains(measured, deviation)
    share, points = growth * moved.share, moved.points
    measured -= LOSS * (share - moved.share)
    variance = EXACT**2 + LOSS**2 * TOGETHER * share * max(0.0, 1 - share) / points
    weight = variance / (variance + deviation**2)  # of the measured score
    return Remains(weight * measured + (1 - weight) * (1 + GAIN - LOSS * share), ((1 - weight) * variance) ** 0.5)


def deviation_of_ratio(above: np.ndarray, below: np.ndarray) -> float:
    """Returns the standard deviation of the ratio of two sums over the same N instances; 0 where it cannot be said.

    Args:
        above: (N,) what each adds to the sum above.
        below: (N,) and below.
    """
    total, count = float(below.sum()), len(below)
    if not total or count < 2:
        return 0.0
    away = above - above.sum() / total * below
    return float(np.sqrt((away**2).sum() * count / (count - 1))) / total


def moved_points(split: Split, skeleton: Skeleton, before: np.ndarray, after: np.ndarray) -> Moved | None:
    """Returns how many labelled points moved by more than the threshold of PCK; None: no point counts.

    Args:
        split: of N samples; its labels say which points count, and how large a person is.
        skeleton: of the K key points.
        before: (N, K, 2) predictions of the base alone, in pixels.
        after: (N, K, 2) predictions with the change.
    """
    rows = rows_of(split)
    labels, boxes = (split.table.column(name)[rows] for name in ("keypoints", "bbox"))
    truth, visible = labels[..., :2], labels[..., 2] > 0
    stays, counted = hits_within(truth + (after - before), truth, visible, skeleton, THRESHOLD, boxes=boxes)
    return Moved(float((~stays)[counted].mean()), int(counted.sum())) if counted.any() else None


def all_moved(parts: Sequence[Moved | None]) -> Moved | None:
    """Returns how many points moved in several sets of pictures together; None: no point counts."""
    found = [one for one in parts if one is not None]
    points = sum(one.points for one in found)
    return Moved(sum(one.share * one.points for one in found) / points, points) if points else None
