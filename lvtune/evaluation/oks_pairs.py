"""The OKS of pairs of poses that are in the same image: the pairs of all images in flat arrays.

Each number is computed with the operations of pycocotools' ``computeOks`` in their order, so that it is the same to
the last bit: whether a prediction fits may hang on it where an OKS is a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from lvtune.core.errors import DataError

PAIRS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Persons:
    """The G labelled persons of all images, sorted by image."""

    image: np.ndarray
    """(G,) ids."""
    keypoints: np.ndarray
    """(G, K, 3) x, y in pixels and visibility."""
    boxes: np.ndarray
    """(G, 4) x, y, width, height."""
    areas: np.ndarray
    """(G,) square pixels."""
    crowd: np.ndarray
    """(G,) bool: may be found several times."""
    ignored: np.ndarray
    """(G,) bool: finding it counts neither as right nor as wrong."""
    has_id: np.ndarray
    """(G,) bool: False for the id 0, which pycocotools takes for "nobody"."""

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Found:
    """The D predictions of all images, sorted by image, then best first."""

    image: np.ndarray
    """(D,) ids."""
    keypoints: np.ndarray
    """(D, K, 2) x, y in pixels."""
    areas: np.ndarray
    """(D,) square pixels."""
    scores: np.ndarray
    """(D,)"""

    def __len__(self) -> int:
        return len(self.image)


def persons_of(notes: Sequence[Mapping[str, Any]], count: int) -> Persons:
    """Returns the persons of COCO annotations of ``count`` key points.

    Raises:
        DataError: annotations with another number of key points.
    """
    known = len(notes)
    notes = [notes[i] for i in np.argsort([note["image_id"] for note in notes], kind="stable")] if known else []
    if any(len(note["keypoints"]) != 3 * count for note in notes):
        strange = next(note for note in notes if len(note["keypoints"]) != 3 * count)
        raise DataError(
            f"annotation {strange['id']} with {len(strange['keypoints'])} numbers as key points",
            f"{3 * count}: x, y and visibility of {count} key points",
            "score against annotations of the skeleton that was predicted",
        )
    values = np.fromiter(chain.from_iterable(note["keypoints"] for note in notes), float, known * count * 3)
    crowd = np.array([bool(note.get("iscrowd")) for note in notes], bool)
    return Persons(
        image=np.array([note["image_id"] for note in notes], np.int64),
        keypoints=values.reshape(known, count, 3),
        boxes=np.array([note["bbox"] for note in notes], float).reshape(known, 4),
        areas=np.array([note["area"] for note in notes], float),
        crowd=crowd,
        ignored=crowd | np.array([note["num_keypoints"] == 0 for note in notes], bool),
        has_id=np.array([note["id"] != 0 for note in notes], bool),
    )


def ranks(image: np.ndarray) -> np.ndarray:
    """Returns (N,) the place of each entry among those of its image; ``image`` (N,) is sorted."""
    return np.arange(len(image)) - np.searchsorted(image, image, "left")


def pairs_within(image: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places (P,) and (P,) of all pairs of the same image; both arrays of ids are sorted.

    The pairs are sorted by the first place, then by the second.
    """
    first, end = np.searchsorted(other, image, "left"), np.searchsorted(other, image, "right")
    number = end - first
    left = np.repeat(np.arange(len(image)), number)
    starts = np.cumsum(number) - number
    return left, np.arange(len(left)) + np.repeat(first - starts, number)


def oks_of_pairs(found: Found, persons: Persons, left: np.ndarray, right: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Returns (P,) the OKS of predictions ``left`` (P,) with persons ``right`` (P,).

    Where a person has no visible point, the distance is that to the person's box, twice as wide on each side.
    """
    seen = persons.keypoints[..., 2] > 0
    number, values = seen.sum(1), np.empty(len(left))
    for count in np.unique(number[right]):
        mine = np.flatnonzero(number[right] == count)
        for start in range(0, len(mine), PAIRS_AT_ONCE):
            some = mine[start : start + PAIRS_AT_ONCE]
            measure = _of_seen if count else _of_boxes
            values[some] = measure(found, persons, left[some], right[some], (2 * sigmas) ** 2)
    return values


def _of_seen(found: Found, persons: Persons, left: np.ndarray, right: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """OKS (P,) with persons that have equally many visible points: only these points are read.

    Sums of one length run over numbers that lie side by side, as in pycocotools: the same order of additions.
    """
    some, place = np.unique(right, return_inverse=True)
    number, points = np.count_nonzero(persons.keypoints[some[0], :, 2] > 0), persons.keypoints.shape[1]
    where = np.argsort(persons.keypoints[some, :, 2] <= 0, axis=1, kind="stable")[:, :number]  # of visible points
    labels = np.take_along_axis(persons.keypoints[some], where[..., None], 1)
    at = left[:, None] * points + where[place]
    flat = found.keypoints.reshape(-1, 2)
    error = (flat[:, 0].take(at) - labels[place, :, 0]) ** 2 + (flat[:, 1].take(at) - labels[place, :, 1]) ** 2
    return _similarity(error, variances[where][place], persons.areas[right])


def _of_boxes(found: Found, persons: Persons, left: np.ndarray, right: np.ndarray, variances: np.ndarray) -> np.ndarray:
    boxes, error = persons.boxes[right], 0.0
    for axis in (0, 1):
        values, start, size = found.keypoints[left, :, axis], boxes[:, axis, None], boxes[:, 2 + axis, None]
        error = error + (np.maximum(0, start - size - values) + np.maximum(0, values - (start + size * 2))) ** 2
    return _similarity(np.asarray(error), variances, persons.areas[right])


def _similarity(error: np.ndarray, variances: np.ndarray, areas: np.ndarray) -> np.ndarray:
    # The spacing keeps a person of no size from dividing by zero, as in the reference.
    similar = np.exp(-(error / variances / (areas + np.spacing(1))[:, None] / 2))
    return np.ascontiguousarray(similar).sum(1) / error.shape[1]


def similarity_of_poses(
    keypoints: np.ndarray, areas: np.ndarray, left: np.ndarray, right: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """Returns (P,) the OKS of poses ``left`` with poses ``right``; keypoints (N, K, 2), mean of both areas (N,)."""
    values = np.empty(len(left))
    for start in range(0, len(left), PAIRS_AT_ONCE):
        one, other = left[start : start + PAIRS_AT_ONCE], right[start : start + PAIRS_AT_ONCE]
        squared = ((keypoints[one] - keypoints[other]) ** 2).sum(-1)
        mean_area = (areas[one] + areas[other]) / 2 + np.spacing(1)
        similar = np.exp(-squared / (2 * sigmas) ** 2 / mean_area[:, None] / 2)
        values[start : start + PAIRS_AT_ONCE] = similar.mean(-1)
    return values
