"""Computes the end-point error of 3D hands in mm by each published protocol, and PCK curves over it.

Sources: Zimmermann & Brox, ICCV 2017 (arXiv:1705.01389; medians and curves are taken joint by joint, then averaged),
FreiHAND, ICCV 2019 (arXiv:1909.04349; Procrustes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvtune.core.errors import DataError, TrainingError, UsageError
from lvtune.core.registry import suggest
from lvtune.evaluation.procrustes import align

THRESHOLDS = np.linspace(0.0, 50.0, 100)
"""Thresholds of PCK curves and of the area under them: 100 steps from 0 to 50 mm."""


@dataclass(frozen=True)
class HandResult:
    """Predicted and true hands, N of them with K joints.

    Raises:
        LvtuneError: shapes that do not fit, or predictions that are not finite.
    """

    truth: np.ndarray
    """(N, K, 3) mm in camera coordinates."""
    relative: np.ndarray
    """(N, K, 3) predicted, relative to joint 0, in lengths of the reference bone."""
    scale: np.ndarray
    """(N,) mm, true length of the reference bone."""
    absolute: np.ndarray | None = None
    """(N, K, 3) mm predicted in camera coordinates; None where the method does not predict them."""
    visible: np.ndarray | None = None
    """(N, K), above 0 where a joint counts; None: all."""

    def __post_init__(self) -> None:
        shape = np.shape(self.truth)
        given = [np.shape(v) for v in (self.relative, self.absolute) if v is not None]
        fits = len(shape) == 3 and shape[2] == 3 and all(s == shape for s in given)
        fits = fits and np.shape(self.scale) == shape[:1]
        if not fits or (self.visible is not None and np.shape(self.visible) != shape[:2]):
            raise DataError(
                f"predictions {given} with truth {shape} and {np.shape(self.scale)} scales",
                "(N, K, 3) each, N scales, (N, K) for visibility", "predict every hand of the split once, in order",
            )  # fmt: skip
        # the place of a hand whose size is unknown is unknown too
        labelled = np.isfinite(self.truth).all((1, 2))
        is_placed = self.absolute is None or np.isfinite(self.absolute[labelled]).all()
        if not (is_placed and np.isfinite(self.relative).all()):
            raise TrainingError(
                "predictions that are not finite numbers", "finite joints",
                "look for a training that diverged (try a lower --train.lr)",
            )  # fmt: skip

    @property
    def sized(self) -> np.ndarray:
        """The prediction in its true size: (N, K, 3) mm relative to joint 0."""
        return self.relative * self.scale[:, None, None]

    @property
    def counted(self) -> np.ndarray:
        """(N, K), True where a joint counts."""
        known = np.isfinite(self.truth).all(-1)
        return np.asarray(known if self.visible is None else known & (np.asarray(self.visible) > 0))


def _distance(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(pred - truth, axis=-1)


def root_gtscale(result: HandResult) -> np.ndarray:
    """Returns the error (N, K) of the prediction times the true scale; the truth is taken relative to its joint 0.

    Joint 0 counts like the others: its error is the distance of the predicted one from the origin.
    """
    return _distance(result.sized, result.truth - result.truth[:, :1])


def absolute(result: HandResult) -> np.ndarray | None:
    """Returns the error (N, K) in camera coordinates, without alignment."""
    return None if result.absolute is None else _distance(result.absolute, result.truth)


def root(result: HandResult) -> np.ndarray | None:
    """Returns the error (N, K) of the absolute joints, both relative to their own joint 0, whose error is thus 0."""
    if result.absolute is None:
        return None
    pred = result.absolute - result.absolute[:, :1]
    return _distance(pred, result.truth - result.truth[:, :1])


def procrustes(result: HandResult) -> np.ndarray:
    """Returns the error (N, K) after the best shift, rotation and size of each hand (no mirroring).

    All of a hand's joints take part; a hand with an unlabelled joint has no error (NaN).
    """
    whole = np.isfinite(result.truth).all((1, 2))
    errors = np.full(result.truth.shape[:2], np.nan)
    errors[whole] = _distance(align(result.relative[whole], result.truth[whole]), result.truth[whole])
    return errors


VARIANTS: dict[str, Callable[[HandResult], np.ndarray | None]] = {
    "root_gtscale": root_gtscale,
    "absolute": absolute,
    "root": root,
    "procrustes": procrustes,
}
"""Name to errors (N, K), None where the prediction lacks the coordinates compared. The first is the default."""


def epe(result: HandResult, variant: str = "root_gtscale") -> dict[str, Any] | None:
    """Summarises one variant's errors; see :func:`summary`.

    Raises:
        LvtuneError: no such variant.
    """
    if variant not in VARIANTS:
        raise UsageError(
            f"EPE variant '{variant}'", f"one of {', '.join(VARIANTS)}",
            suggest(variant, list(VARIANTS), "choose one of these"),
        )  # fmt: skip
    errors = VARIANTS[variant](result)
    return None if errors is None else summary(errors, result.counted)


def summary(errors: np.ndarray, counted: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> dict[str, Any]:
    """Returns mean, median and PCK curve of the errors (N, K) in mm that are ``counted`` (N, K).

    Returns:
        ``epe``, mean over all counted joints; ``epe_median``, the mean over joints of each joint's median;
        ``auc``, the area under the mean PCK curve over ``thresholds``, 0 to 1; ``pck``, that curve, 0 to 1;
        ``per_joint``, each joint's mean error (None where it never counts). All None where no joint counts.
    """
    counted = counted & np.isfinite(errors)
    joints = [errors[counted[:, k], k] for k in range(errors.shape[1])]
    seen = [found for found in joints if len(found)]
    if not seen:
        return {"epe": None, "epe_median": None, "auc": None, "pck": None, "per_joint": [None] * len(joints)}
    curve = np.mean([pck_curve(found, thresholds) for found in seen], 0)
    return {
        "epe": float(errors[counted].mean()),
        "epe_median": float(np.mean([np.median(found) for found in seen])),
        "auc": auc(curve, thresholds),
        "pck": curve,
        "per_joint": [float(found.mean()) if len(found) else None for found in joints],
    }


def pck_curve(errors: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """Returns the share (T,) of errors (M,) that is at most each threshold."""
    return np.searchsorted(np.sort(errors), thresholds, side="right") / len(errors)


def auc(curve: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> float:
    """Returns the area under a curve by trapezia, over the width of its thresholds: 0 to 1."""
    steps = np.diff(thresholds)
    return float(((curve[1:] + curve[:-1]) / 2 * steps).sum() / steps.sum())
