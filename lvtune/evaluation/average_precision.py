"""COCO's average precision and recall from who was matched with whom: pycocotools' ``accumulate`` and ``summarize``."""

from __future__ import annotations

import numpy as np

from lvtune.evaluation.oks_matching import AREAS, THRESHOLDS, Matches

RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is read."""


def summary(matches: Matches) -> np.ndarray:
    """Returns the ten numbers of a COCO key point summary.

    They are AP over all thresholds, at 0.5 and at 0.75, of medium and of large persons, and AR in the same order; each
    is -1 where no person of that size counts.
    """
    order = np.argsort(-matches.scores, kind="stable")
    precision = np.full((len(AREAS), len(THRESHOLDS), len(RECALLS)), -1.0)
    recall = np.full((len(AREAS), len(THRESHOLDS)), -1.0)
    for area in range(len(AREAS)):
        persons = int((~matches.ignored[:, area]).sum())
        if persons:
            matched, left_out = matches.matched[order, area].T, matches.left_out[order, area].T
            for step in range(len(THRESHOLDS)):
                curve = _curve(matched[step][~left_out[step]], persons)
                precision[area, step], recall[area, step] = curve
    half, three_quarters = (np.flatnonzero(t == THRESHOLDS) for t in (0.5, 0.75))
    parts = [(0, slice(None)), (0, half), (0, three_quarters), (1, slice(None)), (2, slice(None))]
    return np.array([_mean(of[area, step]) for of in (precision, recall) for area, step in parts])


def _curve(right: np.ndarray, persons: int) -> tuple[np.ndarray, float]:
    """Precision (R,) at the recalls, and the last recall; ``right`` (N,) of the predictions that count, best first.

    Precision rises only where a prediction is right, so it is computed there alone. What is read at a recall is the
    largest precision from there on.
    """
    places = np.flatnonzero(right)
    if not len(places):
        return np.zeros(len(RECALLS)), 0.0
    number = np.arange(1.0, len(places) + 1)
    wrong = places - np.arange(len(places))
    precision = number / (wrong + number + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    recall = number / persons
    at = np.searchsorted(recall, RECALLS, "left")
    return np.where(at < len(best), best[np.minimum(at, len(best) - 1)], 0.0), float(recall[-1])


def _mean(values: np.ndarray) -> float:
    counted = values[values > -1]
    return float(np.mean(counted)) if len(counted) else -1.0
