"""PCK: the share of key points found within a part of the torso's length.

Torso: left shoulder to right hip (Leeds Sports Pose protocol; Johnson & Everingham, CVPR 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import Skeleton


def _percent(hits: np.ndarray, counted: np.ndarray) -> float | None:
    total = int(counted.sum())
    return 100.0 * int((hits & counted).sum()) / total if total else None


def pck(
    pred: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
    thresholds: Sequence[float] = (0.2, 0.5),
    *,
    torso: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Percentage of Correct Key points, pooled over all visible key points of the persons counted.

    Args:
        pred: (N, K, 2) predictions, pixels. One that is not a number is a miss.
        truth: (N, K, 2) ground truth in the same pixels.
        visible: (N, K), above 0 where the key point is labelled; others do not count.
        skeleton: of the K key points.
        thresholds: shares of the torso's length; a distance equal to the threshold is a hit.
        torso: indices of the two ends; by default the skeleton's left shoulder and right hip.

    Returns:
        ``pck@<threshold>`` in percent for each threshold; ``per_joint`` {name: percent} at the first one and
        ``per_joint@<threshold>`` at each; ``persons`` counted; ``skipped``: persons left out because an end
        of their torso is unlabelled (or both ends coincide). A percentage over nothing is None.

    Raises:
        LvtuneError: shapes that do not fit, or a skeleton without a torso.
    """
    pred, truth, visible = np.asarray(pred, float), np.asarray(truth, float), np.asarray(visible) > 0
    count = len(skeleton.keypoints)
    shape = (len(visible), count)
    if truth.shape != (*shape, 2) or pred.shape != truth.shape or visible.shape != shape:
        raise LvtuneError(
            f"predictions {pred.shape}, truth {truth.shape}, visibility {visible.shape}",
            f"(N, {count}, 2), (N, {count}, 2), (N, {count}) for skeleton '{skeleton.name}'",
            "predict and label with the same skeleton",
        )
    ends = torso or skeleton.torso
    if ends is None:
        raise LvtuneError(
            f"skeleton '{skeleton.name}' without left_shoulder and right_hip",
            "the two key points whose distance normalises PCK",
            "pass torso=(i, j), or score by OKS-AP",
        )
    first, second = ends
    length = np.linalg.norm(truth[:, first] - truth[:, second], axis=-1)
    used = visible[:, first] & visible[:, second] & (length > 0)
    counted = visible & used[:, None]
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(pred - truth, axis=-1)
        hits = {t: distance <= t * length[:, None] for t in thresholds}
    result: dict[str, Any] = {f"pck@{t:g}": _percent(hit, counted) for t, hit in hits.items()}
    for t, hit in hits.items():
        result[f"per_joint@{t:g}"] = {
            name: _percent(hit[:, k], counted[:, k]) for k, name in enumerate(skeleton.keypoints)
        }
    result["per_joint"] = result[f"per_joint@{thresholds[0]:g}"]
    return {**result, "persons": int(used.sum()), "skipped": int(len(used) - used.sum())}
