"""PCK: the share of key points whose error is at most a part of a reference length.

The reference is what the skeleton has: the torso (left shoulder to right hip; Leeds Sports Pose protocol, Johnson &
Everingham, CVPR 2011), else the head (as in PCKh of MPII, Andriluka et al., CVPR 2014), else the diagonal of the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.data.sides import LEFT, MIDDLE, RIGHT
from lvtune.data.skeletons import Skeleton

TORSO, HEAD, BOX = "torso", "head", "box diagonal"

_TOPS, _NECKS = ("head_top", "top_head", "top_of_head", "head"), ("neck", "upper_neck", "chin")


@dataclass(frozen=True)
class Reference:
    """The length that a threshold of PCK is a share of."""

    name: str
    """``torso``, ``head`` or ``box diagonal``."""
    ends: tuple[int, int] | None
    """The two key points whose distance it is; None for the box."""


def reference_of(skeleton: Skeleton) -> Reference:
    """Returns the reference length that the skeleton allows: torso, else head, else the diagonal of the box."""
    if skeleton.torso is not None:
        return Reference(TORSO, skeleton.torso)
    places = {(side, name): i for i, (side, name) in enumerate(zip(skeleton.sides, skeleton.sideless, strict=True))}
    tops = [places[MIDDLE, name] for name in _TOPS if (MIDDLE, name) in places]
    necks = [places[MIDDLE, name] for name in _NECKS if (MIDDLE, name) in places]
    if tops and necks:
        return Reference(HEAD, (tops[0], necks[0]))
    if (LEFT, "ear") in places and (RIGHT, "ear") in places:  # a head seen from above, as of animals
        return Reference(HEAD, (places[LEFT, "ear"], places[RIGHT, "ear"]))
    return Reference(BOX, None)


def pck(
    pred: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
    thresholds: Sequence[float] = (0.2, 0.5),
    *,
    ends: tuple[int, int] | None = None,
    boxes: np.ndarray | None = None,
) -> dict[str, Any]:
    """Scores the Percentage of Correct Key points, pooled over all labelled key points of the instances counted.

    Args:
        pred: (N, K, 2) predictions, pixels. One that is not a number is a miss.
        truth: (N, K, 2) ground truth in the same pixels.
        visible: (N, K), above 0 where the key point is labelled; others do not count.
        skeleton: of the K key points.
        thresholds: shares of the reference length; an error equal to the threshold is a hit.
        ends: indices of the two key points whose distance is the reference; None: see :func:`reference_of`.
        boxes: (N, 4) x, y, width, height in the same pixels; needed where the skeleton has neither torso nor head.

    Returns:
        ``pck@<threshold>`` in percent for each threshold; ``per_joint`` {name: percent} at the first one and
        ``per_joint@<threshold>`` at each; ``pck_by``, the name of the reference; ``counted`` instances; ``skipped``:
        instances left out because the reference cannot be measured (an end is unlabelled, or both coincide).
        A percentage over nothing is None.

    Raises:
        LvtuneError: shapes that do not fit, or neither ends nor boxes to measure the reference by.
    """
    pred, truth, visible = np.asarray(pred, float), np.asarray(truth, float), np.asarray(visible) > 0
    _check_shapes(pred, truth, visible, skeleton)
    reference = reference_of(skeleton) if ends is None else Reference("given key points", ends)
    length, measured = _lengths(reference, truth, visible, skeleton, boxes)
    counted = visible & measured[:, None]
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(pred - truth, axis=-1)
        hits = {t: distance <= t * length[:, None] for t in thresholds}
    result: dict[str, Any] = {f"pck@{t:g}": _percent(hit, counted) for t, hit in hits.items()}
    for t, hit in hits.items():
        result[f"per_joint@{t:g}"] = {
            name: _percent(hit[:, k], counted[:, k]) for k, name in enumerate(skeleton.keypoints)
        }
    result["per_joint"] = result[f"per_joint@{thresholds[0]:g}"]
    used = int(measured.sum())
    return {**result, "pck_by": reference.name, "counted": used, "skipped": len(measured) - used}


def hits_within(
    pred: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
    threshold: float = 0.2,
    *,
    boxes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which key points (N, K) are within the threshold, and which count; arguments as of :func:`pck`."""
    pred, truth, visible = np.asarray(pred, float), np.asarray(truth, float), np.asarray(visible) > 0
    _check_shapes(pred, truth, visible, skeleton)
    length, measured = _lengths(reference_of(skeleton), truth, visible, skeleton, boxes)
    with np.errstate(invalid="ignore"):
        hits = np.linalg.norm(pred - truth, axis=-1) <= threshold * length[:, None]
    return hits, visible & measured[:, None]


def _lengths(
    reference: Reference, truth: np.ndarray, visible: np.ndarray, skeleton: Skeleton, boxes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the reference length (N,) of each instance in pixels, and where it can be measured (N,)."""
    if reference.ends is not None:
        first, second = reference.ends
        length = np.linalg.norm(truth[:, first] - truth[:, second], axis=-1)
        return length, visible[:, first] & visible[:, second] & (length > 0)
    if boxes is None:
        raise UsageError(
            f"skeleton '{skeleton.name}' without torso and head",
            "two key points, or boxes, whose size normalises PCK",
            "pass ends=(i, j) or boxes=, or score by pixel_errors",
        )
    length = np.linalg.norm(np.asarray(boxes, float)[:, 2:], axis=-1)
    return length, length > 0


def _check_shapes(pred: np.ndarray, truth: np.ndarray, visible: np.ndarray, skeleton: Skeleton) -> None:
    count = len(skeleton.keypoints)
    shape = (len(visible), count)
    if truth.shape != (*shape, 2) or pred.shape != truth.shape or visible.shape != shape:
        raise DataError(
            f"predictions {pred.shape}, truth {truth.shape}, visibility {visible.shape}",
            f"(N, {count}, 2), (N, {count}, 2), (N, {count}) for skeleton '{skeleton.name}'",
            "predict and label with the same skeleton",
        )


def _percent(hits: np.ndarray, counted: np.ndarray) -> float | None:
    total = int(counted.sum())
    return 100.0 * int((hits & counted).sum()) / total if total else None
