"""What the pictures of one adapter look like to the frozen base, in a few numbers that the adapter's file holds.

Of the features of :mod:`lvtune.bases.look_features` there are kept:

- a Gaussian of a random projection, for crops and for whole pictures (as in Lee et al., NeurIPS 2018, arXiv
  1807.03888). It says which of several adapters a picture is most like, and whether it is like none of them;
- a linear map to the probability that a picture is one of the adapter's, and not one of the ordinary pictures that it
  was compared with: a linear discriminant with a shrunk covariance, whose scale and offset are fitted (Platt, 1999) on
  pictures that the discriminant has not seen.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NUMBERS = 48
"""Numbers that features are projected onto."""
LEAST = 30
"""Pictures that a domain is known by, at the least."""
VIEWS = ("crop", "whole")
"""What is looked at: the crop of an instance, or a whole picture."""
SHRINK = 0.03
"""Share of the discriminant's covariance that is replaced by its mean variance (chosen on lsp-art's training part)."""
FOLDS = 5
REACH = 2.0
"""A picture lies outside of a domain from this many times the distance of its farthest one in a hundred."""
MOST_FEATURES = 16_384
_LARGEST = 1e6
_STEEP = 8.0
"""How fast the probability falls where a picture lies outside."""


@dataclass(frozen=True)
class Region:
    """Where the pictures of a domain lie among the projected features."""

    mean: np.ndarray
    """(N,)."""
    covariance: np.ndarray
    """(N, N), shrunk."""
    reach: float
    """Squared distance from which a picture lies outside."""

    @functools.cached_property
    def _inverse(self) -> np.ndarray:
        return np.linalg.inv(self.covariance)

    @functools.cached_property
    def _volume(self) -> float:
        return float(np.linalg.slogdet(self.covariance)[1])

    def distances(self, projected: np.ndarray) -> np.ndarray:
        """Returns (B,) squared distances of projected features (B, N), in units of the domain's own spread."""
        away = projected - self.mean
        return np.einsum("bi,ij,bj->b", away, self._inverse, away)

    def costs(self, projected: np.ndarray) -> np.ndarray:
        """Returns (B,) twice the negative logarithm of the likelihood, up to a constant."""
        return self.distances(projected) + self._volume

    def to_dict(self) -> dict[str, Any]:
        """Returns mean, upper triangle of the covariance and reach in JSON types."""
        upper = self.covariance[np.triu_indices(len(self.mean))]
        return {"mean": _short(self.mean), "covariance": _short(upper), "reach": _short([self.reach])[0]}


@dataclass(frozen=True)
class DomainLooks:
    """The looks of one adapter's pictures."""

    views: Mapping[str, Region]
    """One for each of ``VIEWS``."""
    weights: np.ndarray
    """(F,) of the features."""
    offset: float
    """probability = sigmoid(features · weights + offset)."""
    layer: str
    """Where the features are read, see :func:`lvtune.bases.look_features.look_layer`."""
    pictures: int
    ordinary: int
    """Numbers of the pictures of both kinds that it was fitted on."""
    against: str
    """What the ordinary pictures are, in words."""
    right: float
    """Share of the pictures that was told apart while they were left out of the fit; both kinds count alike."""

    def far(self, features: np.ndarray, view: str) -> np.ndarray:
        """Returns (B,) squared distances of features (B, F) over the reach; above 1 a picture lies outside."""
        region = self.views[view]
        return region.distances(project(features)) / region.reach

    def probabilities(self, features: np.ndarray, view: str) -> np.ndarray:
        """Returns (B,) P(a picture is one of this domain, and not an ordinary one)."""
        inside = _sigmoid(_STEEP * (1 - self.far(features, view)))
        return inside * _sigmoid(features @ self.weights + self.offset)

    def to_dict(self) -> dict[str, Any]:
        """Returns it in JSON types; :func:`read_looks` reads it."""
        return {
            "views": {name: region.to_dict() for name, region in self.views.items()},
            "weights": _short(self.weights), "offset": _short([self.offset])[0], "layer": self.layer,
            "pictures": self.pictures, "ordinary": self.ordinary, "against": self.against,
            "right": round(self.right, 4),
        }  # fmt: skip


def fit_looks(
    target: Mapping[str, np.ndarray], ordinary: Mapping[str, np.ndarray], layer: str, against: str
) -> DomainLooks:
    """Fits the looks of a domain.

    Args:
        target: view to features (M, F) of the domain's pictures; row i is of picture i in every view.
        ordinary: the same of R ordinary pictures; it may have further views, such as pictures with other colours.
        layer: where the features were read.
        against: what the ordinary pictures are, in words.

    Raises:
        ValueError: fewer than ``LEAST`` pictures of either kind.
    """
    counts = [len(next(iter(kind.values()))) for kind in (target, ordinary)]
    if min(counts) < LEAST:
        raise ValueError(f"{min(counts)} pictures, where it takes {LEAST}")
    regions = {view: _region(project(target[view])) for view in VIEWS}
    whole = [np.concatenate(list(kind.values())) for kind in (target, ordinary)]
    scores = [np.zeros(len(rows)) for rows in whole]
    # the views of a picture are left out together
    folds = [np.arange(len(rows)) % count % FOLDS for rows, count in zip(whole, counts, strict=True)]
    for fold in range(FOLDS):
        weights, offset = _discriminant(*(rows[own != fold] for rows, own in zip(whole, folds, strict=True)))
        for rows, own, found in zip(whole, folds, scores, strict=True):
            found[own == fold] = rows[own == fold] @ weights + offset
    slope, shift = _platt(*scores)
    weights, offset = _discriminant(*whole)
    right = float(np.mean([(slope * scores[0] + shift > 0).mean(), (slope * scores[1] + shift <= 0).mean()]))
    return DomainLooks(
        regions, slope * weights, float(slope * offset + shift), layer, *counts, against=against, right=right
    )


def project(features: np.ndarray) -> np.ndarray:
    """Returns (B, N) of features (B, F): the same signed sums for all adapters of a base."""
    return features @ _signs(features.shape[1])


@functools.cache
def _signs(size: int) -> np.ndarray:
    # of a hash, not of a generator of random numbers: files must be read alike by all versions of numpy
    drawn = hashlib.shake_256(f"lvtune looks {size}".encode()).digest(-(-size * NUMBERS // 8))
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8))[: size * NUMBERS]
    return (2.0 * bits.reshape(size, NUMBERS) - 1) / math.sqrt(size)


def _region(rows: np.ndarray) -> Region:
    """The Gaussian of rows (M, N); its reach is measured on rows that were left out."""
    folds = np.arange(len(rows)) % FOLDS
    away = [
        Region(rows[folds != fold].mean(0), _shrunk(rows[folds != fold]), 1.0).distances(rows[folds == fold])
        for fold in range(FOLDS)
    ]
    reach = REACH * float(np.quantile(np.concatenate(away), 0.99))
    return Region(rows.mean(0), _shrunk(rows), max(reach, 1e-6))


def _shrunk(rows: np.ndarray) -> np.ndarray:
    """Covariance (N, N), shrunk as far as so few rows need it (oracle approximating shrinkage, arXiv 0907.4698)."""
    found, count, size = np.cov(rows.T), len(rows), rows.shape[1]
    trace, squares = float(np.trace(found)), float((found**2).sum())
    below = (count + 1 - 2 / size) * (squares - trace**2 / size)
    share = 1.0 if below <= 0 else min(1.0, ((1 - 2 / size) * squares + trace**2) / below)
    return (1 - share) * found + max(share, 1e-3) * max(trace / size, 1e-12) * np.eye(size)


def _discriminant(target: np.ndarray, ordinary: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (F,) and offset of Fisher's linear discriminant; above 0 is the target."""
    whole = np.concatenate([target, ordinary])
    scale = whole.std(0) + 1e-6 * max(float(whole.std()), 1e-12)
    kinds = [target / scale, ordinary / scale]
    means = [rows.mean(0) for rows in kinds]
    spread = sum((rows - mean).T @ (rows - mean) for rows, mean in zip(kinds, means, strict=True)) / len(whole)
    size = len(scale)
    shrunk = (1 - SHRINK) * spread + SHRINK * np.trace(spread) / size * np.eye(size) + 1e-9 * np.eye(size)
    weights = np.linalg.solve(shrunk, means[0] - means[1])
    return weights / scale, -float(weights @ (means[0] + means[1])) / 2


def _platt(target: np.ndarray, ordinary: np.ndarray) -> tuple[float, float]:
    """Slope (above 0) and shift by which scores become log odds; both kinds weigh alike (Newton's method)."""
    scores = np.concatenate([target, ordinary])
    scale = max(float(scores.std()), 1e-12)
    x = np.stack([scores / scale, np.ones_like(scores)], 1)
    # as Platt has it, no answer is quite certain
    goal = np.concatenate(
        [np.full(len(target), 1 - 1 / (len(target) + 2)), np.full(len(ordinary), 1 / (len(ordinary) + 2))]
    )
    weigh = np.concatenate([np.full(len(target), 0.5 / len(target)), np.full(len(ordinary), 0.5 / len(ordinary))])
    found = np.array([1.0, 0.0])
    for _ in range(50):
        p = _sigmoid(x @ found)
        slope = x.T @ (weigh * (p - goal)) + 1e-4 * found
        curve = (x * (weigh * np.maximum(p * (1 - p), 1e-6))[:, None]).T @ x + 1e-4 * np.eye(2)
        found = found - np.linalg.solve(curve, slope)
        found[0] = max(found[0], 1e-3)
    return float(found[0] / scale), float(found[1])


def read_looks(found: Any) -> DomainLooks:
    """Reads what :meth:`DomainLooks.to_dict` wrote.

    Raises:
        ValueError: it is none: numbers that are missing, not finite or too large; a covariance that is none.
    """
    table = _is(found, dict, "a gate")
    views = _is(table.get("views"), dict, "the views of a gate")
    if set(views) != set(VIEWS):
        raise ValueError("other views than crop and whole")
    weights = _is(table.get("weights"), list, "the weights of a gate")
    if not 0 < len(weights) <= MOST_FEATURES:
        raise ValueError(f"{len(weights)} weights")
    counts = [table.get(name) for name in ("pictures", "ordinary")]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("counts that are no whole numbers")
    (right,) = _numbers([table.get("right")], 1)
    return DomainLooks(
        {name: _region_from(views[name]) for name in VIEWS}, _numbers(weights, len(weights)),
        float(_numbers([table.get("offset")], 1)[0]), _is(table.get("layer"), str, "layer")[:100],
        table["pictures"], table["ordinary"], _is(table.get("against"), str, "against")[:500], float(right),
    )  # fmt: skip


def _region_from(found: Any) -> Region:
    table = _is(found, dict, "a region")
    mean = _numbers(table.get("mean"), NUMBERS)
    upper = _numbers(table.get("covariance"), NUMBERS * (NUMBERS + 1) // 2)
    (reach,) = _numbers([table.get("reach")], 1)
    covariance = np.zeros((NUMBERS, NUMBERS))
    covariance[np.triu_indices(NUMBERS)] = upper
    covariance = covariance + np.triu(covariance, 1).T
    values = np.linalg.eigvalsh(covariance)
    if reach <= 0 or values.min() <= 1e-9 * max(values.max(), 0) or values.max() <= 0:
        raise ValueError("a region whose covariance is none")
    return Region(mean, covariance, float(reach))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -30, 30)))


def _short(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _numbers(found: Any, count: int) -> np.ndarray:
    values = _is(found, list, "a list of numbers")
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers in place of {count}")
    for value in values:
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _LARGEST:
            raise ValueError("a value that is no number of usual size")
    return np.array(values, float)


def _is(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{what} that is {type(value).__name__}")
    return value
