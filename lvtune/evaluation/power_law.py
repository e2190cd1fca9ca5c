"""Fits a power law to errors by the number of labelled pictures, and forecasts other numbers with an interval.

error(n) = a n^-b + c with a > 0, b > 0 and c >= 0. Errors of deep networks fall by such a law with the number of
training samples (Hestness et al., arXiv 1712.00409). For a given b, and c as a share of the smallest error, a follows
by least squares; b and c are tried on a grid. Residuals are relative to the error. The interval is that of the profile
likelihood: the forecasts of all laws that the data do not refute at 95 %, widened by the spread of the runs themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lvtune.evaluation.intervals import t_quantile

LEAST_SIZES = 2
"""Different numbers of pictures that a fit needs; with two, the interval is wide."""
ASSUMED_SPREAD = 0.2
"""Relative spread of runs where no number of pictures was run with two seeds. On openfield three seeds had 0.35 with 10
pictures and 0.05 with 20 and with 93: 0.2 as their root mean square (benchmarks/README.md, "Own data")."""
LEAST_SPREAD = 0.02
"""Relative spread at the least: two seeds may agree by chance."""
_MANY = 10**6
_EXPONENTS = np.geomspace(0.02, 3.0, 160)
_FLOORS = np.linspace(0.0, 0.99, 100)


@dataclass(frozen=True)
class Forecast:
    """Expected error for a number of pictures, as the mean of several runs."""

    pictures: int
    error: float
    low: float
    """Lower end of the 95 % interval."""
    high: float


@dataclass(frozen=True)
class PowerLaw:
    """All laws on the grid, each with how badly it fits; ``a``, ``b`` and ``c`` are those of the best one."""

    a: float
    b: float
    c: float
    sizes: int
    """Different numbers of pictures that were fitted."""
    spread: float
    """Relative standard deviation of runs with the same number of pictures."""
    freedom: int
    """Degrees of freedom of ``spread``; 0: assumed."""
    grid: tuple[np.ndarray, np.ndarray, np.ndarray]
    """(M,) a, b and c of every law."""
    misfit: np.ndarray
    """(M,) weighted sum of squared relative residuals of every law."""

    def _quantile(self) -> float:
        return t_quantile(self.freedom or _MANY)

    def error(self, pictures: float) -> float:
        """Returns the forecast: the mean over all laws, weighted by their likelihood."""
        return self._forecasts(pictures)[0]

    def _forecasts(self, pictures: float) -> tuple[float, float, float]:
        a, b, c = self.grid
        every = a * pictures**-b + c
        worse = (self.misfit - self.misfit.min()) / self.spread**2
        weight = np.exp(-0.5 * worse)
        kept = every[worse <= self._quantile() ** 2]
        return float((every * weight).sum() / weight.sum()), float(kept.min()), float(kept.max())

    def forecast(self, pictures: int, runs: int = 1) -> Forecast:
        """Returns the forecast for the mean of ``runs`` runs."""
        error, low, high = self._forecasts(pictures)
        own = self._quantile() * self.spread * error / runs**0.5
        below, above = np.hypot(error - low, own), np.hypot(high - error, own)
        return Forecast(pictures, error, max(0.0, float(error - below)), float(error + above))


def fit_power_law(errors: Mapping[int, Sequence[float]]) -> PowerLaw | None:
    """Fits a power law.

    Args:
        errors: number of pictures (at least 1) to the errors of its runs, all above 0.

    Returns:
        The law; None with fewer than ``LEAST_SIZES`` numbers of pictures, or an error that is not above 0.
    """
    found = {n: np.asarray(values, float) for n, values in sorted(errors.items()) if len(values)}
    if len(found) < LEAST_SIZES or any(not np.isfinite(v).all() or (v <= 0).any() for v in found.values()):
        return None
    numbers, means = np.array(list(found), float), np.array([v.mean() for v in found.values()])
    runs = np.array([len(v) for v in found.values()], float)
    spread, freedom = _spread_of(list(found.values()))
    b, share = (grid.ravel() for grid in np.meshgrid(_EXPONENTS, _FLOORS, indexing="ij"))
    c = share * means.min()
    falling = numbers[None] ** -b[:, None]  # (M, S)
    weight = runs / means**2
    left = means[None] - c[:, None]
    a = (weight * falling * left).sum(1) / (weight * falling**2).sum(1)
    misfit = (weight * (a[:, None] * falling - left) ** 2).sum(1)
    # among laws that fit equally well, the one with the least floor
    best = int(np.flatnonzero(misfit <= misfit.min() + 1e-9)[np.argmin(c[misfit <= misfit.min() + 1e-9])])
    if len(found) > 3:  # a law that does not fit tells less than the spread of the seeds says
        spread = max(spread, float((misfit[best] / (len(found) - 3)) ** 0.5))
    whole = (float(a[best]), float(b[best]), float(c[best]))
    return PowerLaw(*whole, len(found), spread, freedom, (a, b, c), misfit)


def _spread_of(groups: Sequence[np.ndarray]) -> tuple[float, int]:
    """Relative standard deviation within groups, and its degrees of freedom; 0 of these where it is assumed."""
    freedom = sum(len(values) - 1 for values in groups)
    if not freedom:
        return ASSUMED_SPREAD, 0
    squares = sum(float((((values - values.mean()) / values.mean()) ** 2).sum()) for values in groups)
    return max(LEAST_SPREAD, (squares / freedom) ** 0.5), freedom
