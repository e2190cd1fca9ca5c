"""Looks for instances whose left and right key points seem to be swapped.

In a sound set the pairs of a body agree: the vector from the left to the right ear points the same way as that from the
left to the right hip; and seen from above, it lies on the same side of the line from nose to tail. A relation that
holds for nearly all instances is taken as a rule. An instance is named if it keeps to the rules with one or all of its
pairs swapped, and breaks them as it is. Where bodies are seen from front and back no rule about the midline holds, and
none is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lvtune.data.skeletons import Skeleton

EXCEPTIONS = 0.05
"""Share of the instances, and in any case one, that may break a relation which is a rule."""
LEAST_INSTANCES = 10
"""Instances in which a relation must be seen to be a rule."""
_SHORT = 0.1  # of the extent of the key points; shorter vectors say nothing
_SLANTED = 0.25  # cosine or sine below which two vectors are about at right angles, or parallel
_CLEAR = 0.5  # by how much more (in cosines and sines) the rules are broken as labelled than with sides swapped


@dataclass(frozen=True)
class Suspect:
    """An instance that breaks the rules of the set."""

    row: int
    pairs: tuple[tuple[int, int], ...]
    """The mirror pairs that seem to be swapped."""


def find_swapped(points: np.ndarray, skeleton: Skeleton) -> list[Suspect]:
    """Finds instances whose sides seem to be swapped.

    Args:
        points: (N, K, 3) x, y, visibility.
        skeleton: of the K key points.
    """
    pairs = skeleton.pairs
    if not pairs or len(points) < LEAST_INSTANCES:
        return []
    relations = [*_between_pairs(points, pairs), *_across_midline(points, skeleton)]
    rules = [(members, _as_rule(values)) for members, values in relations]
    rules = [(members, values) for members, values in rules if values is not None]
    guesses = np.ones((1 + (len(pairs) > 1) + len(pairs), len(pairs)))
    guesses[1] = -1  # all swapped; then each alone
    guesses[-len(pairs) :][np.eye(len(pairs), dtype=bool)] = -1
    broken = np.zeros((len(guesses), len(points)))
    for members, values in rules:
        sign = guesses[:, members].prod(1)
        broken += np.maximum(0.0, -sign[:, None] * values[None])
    best = broken.argmin(0)
    least = broken.min(0)
    is_better = (broken[0] - least > _CLEAR) & (least < broken[0] / 2)
    return [
        Suspect(int(row), tuple(pairs[i] for i in np.flatnonzero(guesses[best[row]] < 0)))
        for row in np.flatnonzero(is_better)
    ]


def _as_rule(values: np.ndarray) -> np.ndarray | None:
    """(N,) how far each instance keeps to a relation, above 0 where it does; None where the relation is no rule."""
    known = np.abs(values) > _SLANTED
    if known.sum() < LEAST_INSTANCES:
        return None
    above = int((values[known] > 0).sum())
    below = int(known.sum()) - above
    if min(above, below) > max(1, EXCEPTIONS * known.sum()):
        return None
    return np.where(known, values if above > below else -values, 0.0)


def _extent(points: np.ndarray) -> np.ndarray:
    """(N,) the longer side of what the labelled key points span."""
    seen = points[..., 2:] > 0
    low = np.where(seen, points[..., :2], np.inf).min(1)
    high = np.where(seen, points[..., :2], -np.inf).max(1)
    return np.where(seen.any(1), high - low, 0.0).max(1)


def _vectors(points: np.ndarray, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) from one key point to another, and (N,) whether both are labelled and far enough apart."""
    vector = points[:, end, :2] - points[:, start, :2]
    both = (points[:, [start, end], 2] > 0).all(1)
    return vector, both & (np.linalg.norm(vector, axis=1) > _SHORT * _extent(points))


def _share(values: np.ndarray, usable: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) products of two vectors over their lengths, from -1 to 1; 0 where nothing can be said."""
    length = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.where(usable, values / np.where(usable, length, 1.0), 0.0)


def _between_pairs(points: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Whether the vectors from left to right of two pairs point the same way."""
    found = []
    vectors = [_vectors(points, left, right) for left, right in pairs]
    for a, b in combinations(range(len(pairs)), 2):
        (one, first), (other, second) = vectors[a], vectors[b]
        found.append(((a, b), _share((one * other).sum(1), first & second, one, other)))
    return found


def _across_midline(points: np.ndarray, skeleton: Skeleton) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """On which side of the line between two key points of the middle the right one of a pair lies."""
    middle = [i for i, side in enumerate(skeleton.sides) if side == "middle"]
    found = []
    for number, (left, right) in enumerate(skeleton.pairs):
        across, first = _vectors(points, left, right)
        for start, end in combinations(middle, 2):
            along, second = _vectors(points, start, end)
            turn = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]
            found.append(((number,), _share(turn, first & second, along, across)))
    return found
