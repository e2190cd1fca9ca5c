"""The FreiHAND benchmark's protocol and its prediction file.

Zimmermann et al., FreiHAND, ICCV 2019, arXiv:1909.04349; the benchmark's evaluator (freihand repository, ``eval.py``):
errors as predicted and after Procrustes alignment, PCK and AUC from 0 to 50 mm in 100 steps, F-scores at 5 and 15 mm.
The benchmark's F-scores are over the 778 vertices of a mesh; these are over the points given, which may be joints.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.data.hand_joints import MIDDLE_MCP, Root
from lvtune.evaluation.epe import summary
from lvtune.evaluation.procrustes import align

F_THRESHOLDS = (5.0, 15.0)
VERTICES = 778
"""Vertices of the hand mesh (MANO) in the benchmark's file."""


def f_scores(pred: np.ndarray, truth: np.ndarray, thresholds: tuple[float, ...] = F_THRESHOLDS) -> dict[float, float]:
    """Returns the mean over hands of the harmonic mean of precision and recall between two clouds of points.

    Precision is the share of predicted points that lie nearer than the threshold to a true one; recall is the reverse.

    Args:
        pred: (N, P, 3) mm.
        truth: (N, Q, 3) mm.
        thresholds: in mm.

    Returns:
        Threshold to score, 0 to 1.
    """
    scores: dict[float, list[float]] = {t: [] for t in thresholds}
    for found, true in zip(pred, truth, strict=True):
        gap = np.linalg.norm(found[:, None] - true[None], axis=-1)
        to_truth, to_pred = gap.min(1), gap.min(0)
        for t in thresholds:
            precision, recall = (to_truth < t).mean(), (to_pred < t).mean()
            scores[t].append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return {t: float(np.mean(values)) for t, values in scores.items()}


def freihand_scores(pred: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Computes the benchmark's figures over joints.

    Args:
        pred: (N, K, 3) mm in camera coordinates.
        truth: likewise.

    Returns:
        ``raw`` and ``aligned``, each with the figures of :func:`lvtune.evaluation.epe.summary` and ``f@5``, ``f@15``.
        The alignment may mirror, as in the benchmark.
    """
    pred, truth = np.asarray(pred, float), np.asarray(truth, float)
    result = {}
    for name, points in (("raw", pred), ("aligned", align(pred, truth, reflect=True))):
        errors = np.linalg.norm(points - truth, axis=-1)
        scores = {f"f@{t:g}": value for t, value in f_scores(points, truth).items()}
        result[name] = {**summary(errors, np.ones(errors.shape, bool)), **scores}
    return result


def write_predictions(path: str | Path, joints: np.ndarray, *, root: Root, vertices: np.ndarray | None = None) -> Path:
    """Writes ``pred.json`` in the benchmark's form: joints and vertices in metres, the wrist as joint 0.

    Args:
        path: file to write.
        joints: (N, 21, 3) mm in camera coordinates, in the order of the evaluation set.
        root: meaning of joint 0; a palm (half-way between wrist and middle finger's base) is turned into the wrist.
        vertices: (N, 778, 3) mm; None: zeros, with which the benchmark's mesh figures mean nothing.

    Raises:
        LvtuneError: shapes that do not fit, or values that are not finite.
    """
    joints = np.array(joints, float)
    if vertices is None:
        vertices = np.zeros((len(joints), VERTICES, 3))
    fits = joints.shape[1:] == (21, 3) and np.shape(vertices) == (len(joints), VERTICES, 3)
    if not fits or not (np.isfinite(joints).all() and np.isfinite(vertices).all()):
        raise DataError(
            f"joints {joints.shape} and vertices {np.shape(vertices)} for pred.json",
            f"finite (N, 21, 3) and (N, {VERTICES}, 3)", "predict 21 joints for each picture of the evaluation set",
        )  # fmt: skip
    if root == "palm":
        joints[:, 0] = 2 * joints[:, 0] - joints[:, MIDDLE_MCP]
    target = Path(path)
    metres = [[(one / 1000).round(6).tolist() for one in values] for values in (joints, np.asarray(vertices))]
    target.write_text(json.dumps(metres), encoding="utf-8")
    return target
