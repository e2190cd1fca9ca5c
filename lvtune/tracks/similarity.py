"""How similar poses of one frame are to those of another: OKS of the key points and IoU of the boxes."""

from __future__ import annotations

import numpy as np


def pose_similarity(
    before: np.ndarray, now: np.ndarray, areas: np.ndarray, sigmas: np.ndarray, slack: np.ndarray | float = 1.0
) -> np.ndarray:
    """Returns the OKS (N, M) of every pose before with every pose now.

    OKS as in COCO's evaluation (https://cocodataset.org/#keypoints-eval), over the key points that are given in both.

    Args:
        before: (N, K, 2) x, y; NaN where a key point is not to be compared.
        now: (M, K, 2), the same.
        areas: (N,) of the poses before, in square pixels.
        sigmas: (K,) of the skeleton.
        slack: (N,) or a number: distances are divided by it, since an animal moves while it is not seen.

    Returns:
        NaN where two poses have no key point in common.
    """
    squared = ((before[:, None] - now[None]) ** 2).sum(-1)
    width = np.broadcast_to(np.asarray(slack, float), (len(before),))[:, None, None] * 2 * np.asarray(sigmas, float)
    close = np.exp(-squared / (2 * width**2 * np.maximum(areas, 1.0)[:, None, None]))
    known = np.isfinite(close)
    count = known.sum(-1)
    return np.where(count > 0, np.where(known, close, 0.0).sum(-1) / np.maximum(count, 1), np.nan)


def box_overlap(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Returns the IoU (N, M) of every box before (N, 4) with every box now (M, 4); x, y, width, height in pixels."""
    low = np.maximum(before[:, None, :2], now[None, :, :2])
    high = np.minimum(before[:, None, :2] + before[:, None, 2:], now[None, :, :2] + now[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    total = before[:, 2:].prod(-1)[:, None] + now[:, 2:].prod(-1)[None] - shared
    return shared / np.maximum(total, np.finfo(float).tiny)


def suppress_doubles(
    keypoints: np.ndarray, boxes: np.ndarray, scores: np.ndarray, sigmas: np.ndarray, most: float
) -> list[int]:
    """Returns which poses of one frame are kept, the best first: of two that are the same animal, the better one.

    Args:
        keypoints: (N, K, 2); NaN where a key point is not to be compared.
        boxes: (N, 4) x, y, width, height.
        scores: (N,) of the poses.
        sigmas: (K,) of the skeleton.
        most: poses with a higher OKS are the same animal.
    """
    kept: list[int] = []
    if not len(scores):
        return kept
    similar = pose_similarity(keypoints, keypoints, boxes[:, 2:].prod(-1), sigmas)
    similar = np.where(np.isfinite(similar), np.fmax(similar, similar.T), box_overlap(boxes, boxes))
    for one in np.argsort(-scores, kind="stable").tolist():
        if not (similar[one, kept] > most).any():
            kept.append(one)
    return kept
