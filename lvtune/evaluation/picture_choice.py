"""Ranks pictures by how much a label of each would tell: unsure ones first, and each unlike those before it.

Uncertainty and diversity are in one number: the product of a picture's uncertainty (0 to 1) and of its distance to the
nearest picture that is chosen or labelled already. The diverse part is the greedy k-centre of Sener and Savarese
(Core-Set, ICLR 2018, arXiv 1708.00489).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Choice:
    """One picture of the ranking."""

    place: int
    """Of the picture in the pool."""
    uncertainty: float
    """0 to 1: the share of the pool that is surer."""
    distance: float
    """Cosine distance of its features to the nearest one before it, or labelled; 0 to 2."""


def ranks(values: np.ndarray) -> np.ndarray:
    """Returns (N,) the share of the others that are smaller, 0 to 1; equal values have equal ranks."""
    below = (values[None] < values[:, None]).sum(1) + ((values[None] == values[:, None]).sum(1) - 1) / 2
    return below / max(1, len(values) - 1)


def joined(measures: Sequence[np.ndarray]) -> np.ndarray:
    """Returns (N,) one uncertainty of several measures, each the larger the less sure: the mean of their ranks."""
    return ranks(np.mean([ranks(np.asarray(one, float)) for one in measures], 0))


def rank_pictures(
    uncertainty: np.ndarray, features: np.ndarray, count: int, labelled: np.ndarray | None = None, weight: float = 0.5
) -> list[Choice]:
    """Chooses pictures, the most telling first.

    Args:
        uncertainty: (N,) 0 to 1, see :func:`joined`.
        features: (N, D) of the frozen base.
        count: how many; all where there are fewer.
        labelled: (M, D) features of pictures that have labels already; None: none are known.
        weight: of the uncertainty against the diversity, 0 to 1; 0.5 weighs both alike, 1 is uncertainty alone.
    """
    own = _unit(features)
    nearest = np.full(len(own), np.inf)
    if labelled is not None and len(labelled):
        nearest = _distances(own, _unit(labelled)).min(1)
    free, chosen = np.ones(len(own), bool), []
    for _ in range(min(count, len(own))):
        # before anything is known to be near, the most unsure one
        far = nearest / 2 if np.isfinite(nearest).all() else np.ones(len(own))
        score = np.maximum(uncertainty, 1e-3) ** (2 * weight) * np.maximum(far, 1e-6) ** (2 * (1 - weight))
        place = int(np.argmax(np.where(free, score, -1.0)))
        chosen.append(Choice(place, float(uncertainty[place]), float(min(nearest[place], 2.0))))
        free[place] = False
        nearest = np.minimum(nearest, _distances(own, own[place : place + 1])[:, 0])
    return chosen


def _unit(features: np.ndarray) -> np.ndarray:
    centred = np.asarray(features, float)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.clip(1 - one @ other.T, 0, 2)
