"""Errors in pixels of the original picture: the distance from a predicted key point to the labelled one.

The scores that DeepLabCut reports (Mathis et al., Nature Neuroscience 2018): over all labelled key points, and over
those whose confidence reaches a threshold, DeepLabCut's ``pcutoff`` (0.6 in its own ``config.yaml``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

P_CUTOFF = 0.6
"""Confidence from which a key point counts as found, as in DeepLabCut."""


def distances(pred: np.ndarray, truth: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Returns the error (N, K) of each key point in pixels: NaN where not labelled, infinite without a prediction.

    Args:
        pred: (N, K, 2) predictions in pixels of the original picture.
        truth: (N, K, 2) labels in the same pixels.
        visible: (N, K), above 0 where the key point is labelled.
    """
    with np.errstate(invalid="ignore"):
        errors = np.linalg.norm(np.asarray(pred, float) - np.asarray(truth, float), axis=-1)
    errors = np.where(np.isnan(errors), np.inf, errors)
    return np.where(np.asarray(visible) > 0, errors, np.nan)


def pixel_errors(
    errors: np.ndarray, scores: np.ndarray, names: Sequence[str], cutoff: float = P_CUTOFF
) -> dict[str, Any]:
    """Summarises errors in pixels, in all and for each key point.

    Args:
        errors: (N, K) of :func:`distances`.
        scores: (N, K) confidence of each key point.
        names: K, of the key points.
        cutoff: confidence of the second set of figures.

    Returns:
        ``px_mean``, ``px_median``, ``px_rms`` over all labelled key points; ``px_per_keypoint`` {name: mean},
        ``px_median_per_keypoint`` and ``px_rms_per_keypoint`` likewise; ``px_points``, how many are labelled;
        ``px_cutoff``: ``p_cutoff``, ``share`` (percent of the labelled key points whose confidence reaches it) and
        the same figures over these alone. A figure over nothing is None.
    """
    labelled = ~np.isnan(errors)
    sure = labelled & (np.asarray(scores) >= cutoff)
    total, kept = int(labelled.sum()), int(sure.sum())
    above = {"p_cutoff": cutoff, "share": 100.0 * kept / total if total else None, **_summary(errors, sure, names)}
    return {**_summary(errors, labelled, names), "px_points": total, "px_cutoff": above}


def _summary(errors: np.ndarray, counted: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    kinds = {"mean": np.mean, "median": np.median, "rms": lambda values: np.sqrt(np.mean(np.square(values)))}
    found: dict[str, Any] = {f"px_{kind}": _figure(function, errors[counted]) for kind, function in kinds.items()}
    for kind, function in kinds.items():
        name = "px_per_keypoint" if kind == "mean" else f"px_{kind}_per_keypoint"
        columns = (errors[counted[:, k], k] for k in range(len(names)))
        found[name] = {point: _figure(function, column) for point, column in zip(names, columns, strict=True)}
    return found


def _figure(function: Any, values: np.ndarray) -> float | None:
    return float(function(values)) if len(values) else None
