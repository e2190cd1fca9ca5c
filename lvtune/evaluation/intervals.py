"""Computes mean and 95 % interval of a few runs by Student's t; for three seeds the normal one is half as wide."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Student (1908); the 97.5 % quantiles of 1 to 30 degrees of freedom, as in any table
_T = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448,
    2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484,
    2.0452, 2.0423,
)  # fmt: skip
_Z = 1.959964


@dataclass(frozen=True)
class Spread:
    """Mean and interval of n runs."""

    mean: float
    half: float | None
    """Half the width of the 95 % interval of the mean; None for one run."""
    n: int


def t_quantile(freedom: int) -> float:
    """Returns the 97.5 % quantile of Student's t; beyond 30 degrees of freedom to two terms of its expansion (1e-4)."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    return _Z + (_Z**3 + _Z) / (4 * freedom) + (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * freedom**2)


def mean_and_deviation(values: Sequence[float | None]) -> tuple[float, float | None] | None:
    """Returns mean and standard deviation over runs; None where there is no run, or one lacks the value.

    The deviation of one run is None.
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None


def spread_of(values: Sequence[float | None]) -> Spread | None:
    """Returns mean and interval over runs; None where there is no run, or one lacks the value."""
    found = mean_and_deviation(values)
    if found is None:
        return None
    mean, deviation = found
    count = len(values)
    return Spread(mean, None if deviation is None else t_quantile(count - 1) * deviation / count**0.5, count)


def difference(ours: dict[int, float | None], theirs: dict[int, float | None]) -> Spread | None:
    """Returns ours minus theirs, over the runs of equal seeds; None where no seed is in both."""
    shared = sorted(set(ours) & set(theirs))
    pairs = [(ours[seed], theirs[seed]) for seed in shared]
    return spread_of([None if one is None or other is None else one - other for one, other in pairs])
