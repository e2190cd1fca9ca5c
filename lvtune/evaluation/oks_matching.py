"""COCO's key point evaluation with its slow half in numpy: the OKS of all pairs, and who is matched with whom.

pycocotools compares and matches in Python loops over images, areas, thresholds, predictions and persons. Here one array
operation serves all images and thresholds at once; only the predictions of an image follow each other. Accumulating
and summarising stay pycocotools' own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import cocoeval

COCOeval: Any = cocoeval.COCOeval
PAIRS_AT_ONCE, IMAGES_AT_ONCE = 50_000, 512


class KeypointEvaluation(COCOeval):
    """A ``COCOeval`` for key points; :meth:`evaluate` gives what the original's does."""

    def evaluate(self) -> None:
        """Matches the predictions of each image with its persons."""
        params = self.params
        params.imgIds, params.catIds = list(np.unique(params.imgIds)), list(np.unique(params.catIds))
        params.maxDets = sorted(params.maxDets)
        self._prepare()
        self.evalImgs = [
            found for category in params.catIds for found in self._of_category(category, params.maxDets[-1])
        ]
        self._paramsEval = copy.deepcopy(params)

    def _of_category(self, category: int, most: int) -> list[dict[str, Any] | None]:
        images = []
        for image in self.params.imgIds:
            persons, found = self._gts[image, category], self._dts[image, category]
            order = np.argsort([-one["score"] for one in found], kind="mergesort")[:most]
            images.append(_Image(image, category, persons, [found[i] for i in order]))
        pairs_of([one for one in images if one.persons and one.found], self.params.kpt_oks_sigmas)
        results: list[dict[str, Any] | None] = []
        filled = sorted((one for one in images if one.persons or one.found), key=lambda one: len(one.persons))
        for area in self.params.areaRng:
            by_image: dict[int, dict[str, Any]] = {}
            for start in range(0, len(filled), IMAGES_AT_ONCE):
                some = filled[start : start + IMAGES_AT_ONCE]
                for one, match in zip(some, _matches(some, area, self.params.iouThrs), strict=True):
                    by_image[id(one)] = {**one.facts, "aRng": area, "maxDet": most, **match}
            results += [by_image.get(id(one)) for one in images]
        return results


class _Image:
    """The persons and predictions of one image, the best prediction first."""

    def __init__(self, image: int, category: int, persons: Sequence[dict], found: Sequence[dict]) -> None:
        self.persons, self.found = persons, found
        self.oks = np.zeros((len(found), len(persons)))
        self.ignored = np.array([bool(one["ignore"]) for one in persons], bool)
        self.crowd = np.array([bool(one["iscrowd"]) for one in persons], bool)
        self.areas = np.array([one["area"] for one in persons], float)
        self.ids = np.array([one["id"] for one in persons], float)
        self.found_areas = np.array([one["area"] for one in found], float)
        self.found_ids = np.array([one["id"] for one in found], float)
        self.facts = {
            "image_id": image, "category_id": category, "dtIds": [one["id"] for one in found],
            "gtIds": [one["id"] for one in persons], "dtScores": [one["score"] for one in found],
        }  # fmt: skip


def pairs_of(images: Sequence[Any], sigmas: np.ndarray) -> None:
    """Computes the OKS of each prediction with each person of its image, into ``oks`` of the images."""
    if not images:
        return
    persons = np.array([one["keypoints"] for image in images for one in image.persons], float)
    found = np.array([one["keypoints"] for image in images for one in image.found], float)
    boxes = np.array([one["bbox"] for image in images for one in image.persons], float)
    areas = np.concatenate([image.areas for image in images])
    shapes = [image.oks.shape for image in images]
    starts = np.cumsum([(0, 0), *shapes], axis=0)[:-1]
    left = np.concatenate([np.repeat(np.arange(d), g) + first[0] for (d, g), first in zip(shapes, starts, strict=True)])
    right = np.concatenate([np.tile(np.arange(g), d) + first[1] for (d, g), first in zip(shapes, starts, strict=True)])
    parts = []
    for start in range(0, len(left), PAIRS_AT_ONCE):
        one, other = left[start : start + PAIRS_AT_ONCE], right[start : start + PAIRS_AT_ONCE]
        parts.append(_oks(found[one], persons[other], boxes[other], areas[other], sigmas))
    flat, place = np.concatenate(parts), 0
    for image, (d, g) in zip(images, shapes, strict=True):
        image.oks = flat[place : place + d * g].reshape(d, g)
        place += d * g


def _oks(
    found: np.ndarray, persons: np.ndarray, boxes: np.ndarray, areas: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """OKS (P,) of predictions (P, 3K) with persons (P, 3K); without a visible point, how far they are from the box."""
    x, y = found[:, 0::3], found[:, 1::3]
    seen: Any = persons[:, 2::3] > 0
    some: Any = seen.any(1)
    dx, dy = x - persons[:, 0::3], y - persons[:, 1::3]
    for values, distances, start in ((x, dx, 0), (y, dy, 1)):
        low = (boxes[:, start] - boxes[:, start + 2])[~some, None]
        high = (boxes[:, start] + 2 * boxes[:, start + 2])[~some, None]
        distances[~some] = np.maximum(0, low - values[~some]) + np.maximum(0, values[~some] - high)
    counted: Any = seen | ~some[:, None]
    error = (dx**2 + dy**2) / (sigmas * 2) ** 2 / (areas[:, None] + np.spacing(1)) / 2
    return np.where(counted, np.exp(-error), 0.0).sum(1) / counted.sum(1)


def _matches(images: Sequence[_Image], area: Sequence[float], thresholds: np.ndarray) -> list[dict[str, Any]]:
    """Matches greedily, as pycocotools does: a prediction takes the best person that is left.

    Persons that are ignored are taken only where no other one fits; of two that fit as well, the later is taken.
    """
    count, most, width = len(images), max(len(i.found) for i in images), max(1, *(len(i.persons) for i in images))
    rank = np.full((count, width), 2)  # 0: counts, 1: ignored, 2: not there
    oks, crowd, ids = np.full((count, most, width), -1.0), np.zeros((count, width), bool), np.zeros((count, width))
    for row, one in enumerate(images):
        n = len(one.persons)
        rank[row, :n] = one.ignored | (one.areas < area[0]) | (one.areas > area[1])
        oks[row, : len(one.found), :n], crowd[row, :n], ids[row, :n] = one.oks, one.crowd, one.ids
    order = np.argsort(rank, axis=1, kind="stable")
    rank, crowd, ids = (np.take_along_axis(value, order, 1) for value in (rank, crowd, ids))
    oks = np.take_along_axis(oks, order[:, None], 2)
    least = np.minimum(thresholds, 1 - 1e-10)[None, :, None]
    person_of = np.zeros((count, len(thresholds), most))  # id of the person that a prediction takes
    taken = np.zeros((count, len(thresholds), width))  # id of the prediction that took a person
    unsure = np.zeros((count, len(thresholds), most), bool)
    rows, steps = np.ogrid[:count, : len(thresholds)]
    for place in range(most):
        own = oks[:, None, place]  # (images, 1, persons)
        free = (own >= least) & ((taken == 0) | crowd[:, None]) & (rank[:, None] < 2)
        score = np.where(free, own, -1.0)
        counting = np.where(rank[:, None] == 0, score, -1.0)
        score = np.where((counting >= 0).any(2, keepdims=True), counting, score)
        best = width - 1 - score[:, :, ::-1].argmax(2)
        hit = np.take_along_axis(score, best[..., None], 2)[..., 0] >= 0
        person_of[:, :, place] = np.where(hit, ids[rows, best], 0)
        unsure[:, :, place] = hit & (rank[rows, best] == 1)
        number = np.array([one.found_ids[place] if place < len(one.found) else 0 for one in images])
        taken[rows, steps, best] = np.where(hit, number[:, None], taken[rows, steps, best])
    return [_result(one, area, person_of[row], taken[row], unsure[row], rank[row]) for row, one in enumerate(images)]


def _result(
    image: _Image, area: Sequence[float], person_of: np.ndarray, taken: np.ndarray, unsure: np.ndarray, rank: np.ndarray
) -> dict[str, Any]:
    known, persons = len(image.found), len(image.persons)
    outside = (image.found_areas < area[0]) | (image.found_areas > area[1])
    matched = person_of[:, :known]
    return {
        "dtMatches": matched,
        "gtMatches": taken[:, :persons],
        "gtIgnore": rank[:persons],
        "dtIgnore": unsure[:, :known] | ((matched == 0) & outside),
    }
