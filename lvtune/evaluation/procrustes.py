"""Aligns predicted points with true ones by rotation, size and shift (Procrustes)."""

from __future__ import annotations

import numpy as np

from lvtune.core.errors import DataError


def align(pred: np.ndarray, truth: np.ndarray, *, reflect: bool = False) -> np.ndarray:
    """Moves predictions onto the truth by the similarity transform with the least squared distance.

    Args:
        pred: (N, K, D) points.
        truth: (N, K, D).
        reflect: allow mirroring too, as ``scipy.spatial.procrustes`` and FreiHAND's evaluator do. A hand mirrored
            in depth then counts as right.

    Returns:
        (N, K, D) in the truth's coordinates and unit. A prediction whose points coincide moves to the truth's centre.

    Raises:
        LvtuneError: shapes that do not fit.
    """
    pred, truth = np.asarray(pred, float), np.asarray(truth, float)
    if pred.ndim != 3 or pred.shape != truth.shape:
        raise DataError(
            f"predictions {pred.shape} to align with {truth.shape}", "two arrays (N, K, D) of one shape",
            "give one prediction for each truth",
        )  # fmt: skip
    centre = truth.mean(1, keepdims=True)
    moved, fixed = pred - pred.mean(1, keepdims=True), truth - centre
    # the rotation is that of the singular vectors of the correlation (Kabsch), the size the ratio of projections
    left, stretch, right = np.linalg.svd(np.swapaxes(moved, 1, 2) @ fixed)
    if not reflect:
        sign = np.sign(np.linalg.det(left @ right))
        left[..., -1] *= sign[:, None]
        stretch[..., -1] *= sign
    extent = (moved**2).sum((1, 2))
    size = np.divide(stretch.sum(-1), extent, out=np.zeros_like(extent), where=extent > 0)
    return size[:, None, None] * (moved @ (left @ right)) + centre
