"""COCO's matching of predictions with persons, all images, areas and thresholds at once.

pycocotools matches in Python loops over images, areas, thresholds, predictions and persons. Here one array operation
serves all images, areas and thresholds; only the predictions of one image follow each other, the best first. Pairs
whose OKS is below the lowest threshold can never match, so few pairs are left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lvtune.evaluation.oks_pairs import Found, Persons, oks_of_pairs, pairs_within, ranks

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""OKS from which a person counts as found."""
AREAS = ((0**2, 1e5**2), (32**2, 96**2), (96**2, 1e5**2))
"""Least and largest area: all persons, medium ones, large ones."""
MOST_IN_IMAGE = 20
"""Predictions of an image that count, the best ones."""


@dataclass(frozen=True)
class Matches:
    """Who was found: for D predictions, G persons, the A areas and the T thresholds."""

    scores: np.ndarray
    """(D,) of the predictions, sorted by image, then best first."""
    matched: np.ndarray
    """(D, A, T) bool: the prediction took a person."""
    left_out: np.ndarray
    """(D, A, T) bool: the prediction counts neither as right nor as wrong."""
    ignored: np.ndarray
    """(G, A) bool: the person does not count."""


def match(found: Found, persons: Persons, sigmas: np.ndarray) -> Matches:
    """Matches greedily, as pycocotools does: a prediction takes the best person that is left.

    Persons that are ignored are taken only where no other one fits; of two that fit as well, the later is taken.
    """
    kept = ranks(found.image) < MOST_IN_IMAGE
    found = Found(found.image[kept], found.keypoints[kept], found.areas[kept], found.scores[kept])
    low, high = np.array(AREAS).T
    outside = (persons.areas[:, None] < low) | (persons.areas[:, None] > high)
    ignored = persons.ignored[:, None] | outside
    left, right = pairs_within(found.image, persons.image)
    oks = oks_of_pairs(found, persons, left, right, sigmas)
    near = oks >= min(THRESHOLDS[0], 1 - 1e-10)
    person = _persons_taken(found, persons, (left[near], right[near], oks[near]), ignored)
    matched = person >= 0
    at = np.arange(len(AREAS))[None, :, None]
    unsure = matched & ignored[person, at] if len(persons) else matched
    matched = matched & persons.has_id[person] if len(persons) else matched
    far = (found.areas[:, None] < low) | (found.areas[:, None] > high)
    return Matches(found.scores, matched, unsure | (~matched & far[..., None]), ignored)


def _persons_taken(
    found: Found, persons: Persons, pairs: tuple[np.ndarray, np.ndarray, np.ndarray], ignored: np.ndarray
) -> np.ndarray:
    """Returns (D, A, T) the place of the person that a prediction takes, -1 for none."""
    left, right, oks = pairs
    shape = (len(AREAS), len(THRESHOLDS))
    person, taken = np.full((len(found), *shape), -1), np.zeros((len(persons), *shape), bool)
    rank = ranks(found.image)[left]
    order = np.argsort(rank, kind="stable")
    for some in np.split(order, np.flatnonzero(np.diff(rank[order])) + 1):
        if len(some):  # one prediction of each image, which has its pairs side by side
            _take(person, taken, (left[some], right[some], oks[some]), persons.crowd, ignored)
    return person


def _take(
    person: np.ndarray,
    taken: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    crowd: np.ndarray,
    ignored: np.ndarray,
) -> None:
    """Lets predictions of different images take their persons; writes ``person`` and ``taken``."""
    left, right, oks = pairs
    starts = np.flatnonzero(np.r_[True, left[1:] != left[:-1]])
    of = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(left)]))
    least = np.minimum(THRESHOLDS, 1 - 1e-10)
    free = (oks[:, None, None] >= least) & (~taken[right] | crowd[right, None, None])
    value = np.where(free, oks[:, None, None], -1.0)
    counting = np.where(ignored[right][..., None], -1.0, value)
    some = np.maximum.reduceat(counting, starts) >= 0
    value = np.where(some[of], counting, value)
    best = np.maximum.reduceat(value, starts)
    is_best = (value == best[of]) & (value >= 0)
    place = np.where(is_best, np.arange(len(left))[:, None, None], -1)
    last = np.maximum.reduceat(place, starts)
    hit = last >= 0
    who = right[last]
    person[left[starts]] = np.where(hit, who, -1)
    _, area, step = np.nonzero(hit)
    taken[who[hit], area, step] = True
