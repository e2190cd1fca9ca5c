"""Fits the confidence of a tuned adapter on pictures that were kept out, and measures it on labelled pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError
from lvtune.data.table import PoseTable
from lvtune.evaluation.calibration import Calibration
from lvtune.evaluation.calibration_fit import LEAST_PICTURES, LEAST_POINTS, Observed, fit_map, quality
from lvtune.evaluation.inference import Evidence, predict_evidence
from lvtune.evaluation.oks import oks_ap
from lvtune.evaluation.pck import hits_within
from lvtune.evaluation.pixel_errors import distances
from lvtune.evaluation.scores import main_score, predictions_of, scoring_of

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split
    from lvtune.evaluation.task import Scores

THRESHOLD = 0.2
"""Of PCK."""
SHARE_OF_BOX = 0.05
"""Where the main score is an error in pixels: a point is right within this share of the median box's diagonal."""


def calibrate(job: Job) -> tuple[Calibration | None, Decision]:
    """Fits the calibration of the adapter that is attached now, on the pictures that were kept out.

    Returns:
        The calibration, or None where there is too little to fit on; and what is to be said of it.
    """
    split = job.kept_out.target
    if split is None:
        return None, Decision("calibration", "none", job.kept_out.missing)
    if job.recipe.calibrate == "none":
        return None, Decision("calibration", "none", "the recipe says none")
    skeleton = job.adapter.skeleton
    pixels, within = _threshold(split, skeleton, job.recipe.calibrate_px)
    try:
        seen = {
            flip: observe(split, _evidence(job, split, flip), skeleton, pixels)
            for flip in ((True, False) if skeleton.mirrors else (False,))
        }
    except LvtuneError as error:  # a picture of these is broken: the run is not lost for it
        return None, Decision("calibration", "none", f"pictures that were kept out: {error.given}")
    pictures, points = len(set(split.table.column("image").astype(str))), int(seen[False].counted.sum())
    if pictures < LEAST_PICTURES or points < LEAST_POINTS:
        why = f"{pictures} pictures with {points} points; it takes {LEAST_PICTURES} and {LEAST_POINTS}"
        return None, Decision("calibration", "none", why)
    maps = {flip: fit_map(one) for flip, one in seen.items()}
    found = Calibration(
        skeleton.keypoints, maps.get(True, maps[False]), maps[False], within, pixels, pictures, points, split.name
    )
    why = f"P(within {within}) on {pictures} pictures of {split.name} that were neither tuned nor tested on"
    return found, Decision("calibration", f"{points} key points", why)


def _evidence(job: Job, split: Split, flip_test: bool) -> Evidence:
    return predict_evidence(
        job.base, split, flip_test=flip_test, category=job.category, skeleton=job.adapter.skeleton,
        batch_size=job.recipe.evaluate.batch_size,
    )  # fmt: skip


def _threshold(split: Split, skeleton: Skeleton, asked: float | None) -> tuple[float | None, str]:
    """Returns the threshold in pixels, or None for that of PCK, and its name."""
    if asked is None and main_score(skeleton) == "pck@0.2":
        return None, f"PCK@{THRESHOLD:g} of the {scoring_of(skeleton)['pck_by']}"
    if asked is None:
        diagonal = float(np.median(np.linalg.norm(split.table.column("bbox")[:, 2:], axis=1)))
        asked = max(1.0, float(f"{SHARE_OF_BOX * diagonal:.2g}"))
    return asked, f"{asked:g} px"


def observe(split: Split, found: Evidence, skeleton: Skeleton, pixels: float | None) -> Observed:
    """Compares predictions with the labels of a split.

    Args:
        split: of N samples.
        found: predictions for them.
        skeleton: of the K key points.
        pixels: threshold of a hit; None: PCK@0.2.
    """
    rows = _rows_of(split)
    truth, boxes = split.table.column("keypoints")[rows], split.table.column("bbox")[rows]
    labels, visible = truth[..., :2], truth[..., 2] > 0
    if pixels is None:
        hits, counted = hits_within(found.keypoints, labels, visible, skeleton, THRESHOLD, boxes=boxes)
    else:
        with np.errstate(invalid="ignore"):
            hits, counted = np.linalg.norm(found.keypoints - labels, axis=-1) <= pixels, visible
    errors = distances(found.keypoints, labels, visible)
    area = np.maximum(split.table.column("area")[rows], 1.0)[:, None]
    oks = np.exp(-(errors**2) / (2 * area * (2 * np.array(skeleton.sigmas)) ** 2))
    return Observed(found.scores, found.spreads, hits, counted, oks, errors / found.heights[:, None])


def _rows_of(split: Split) -> np.ndarray:
    """(N,) the person of each sample."""
    views = len(split.views or " ")
    items = np.arange(len(split.table) * views) if split.items is None else np.array(split.items)
    return items // views


def measure(split: Split, scores: Scores | None, calibration: Calibration | None, flip_test: bool) -> Any:
    """Returns how good the calibrated confidence is on a scored split; None without a calibration or evidence.

    Returns:
        What :func:`lvtune.evaluation.calibration_fit.quality` gives; ``within``; ``ap_raw`` and ``ap``, with the
        product of COCO's protocol and with the expected OKS as the pose's score.
    """
    table, found = split.table, None if scores is None else scores.evidence
    if scores is None or calibration is None or found is None or not isinstance(table, PoseTable):
        return None
    if calibration.keypoints != table.skeleton.keypoints:
        return None
    sure = calibration.of(flip_test and table.skeleton.mirrors)(found.scores, found.spreads)
    values = quality(observe(split, found, table.skeleton, calibration.pixels), sure)
    # a score of its own for each pose: one that all of its key points have
    rows = np.repeat(sure.oks[:, None], len(table.skeleton.keypoints), 1)
    truth, predictions = table.coco_ground_truth(), predictions_of(table, found.keypoints, rows)
    ap = oks_ap(truth, predictions, table.skeleton, keypoint_threshold=0.0)["AP"]
    return {"within": calibration.within, **values, "ap": None if ap < 0 else 100 * ap, "ap_raw": scores.values["ap"]}
