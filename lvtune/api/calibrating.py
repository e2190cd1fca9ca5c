"""Fits the confidence of an adapter, or of a base alone, on pictures that were kept out, and measures it on others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.unlearnt import unlearnt_keypoints
from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError
from lvtune.data.table import PoseTable
from lvtune.evaluation.calibration import Calibration
from lvtune.evaluation.calibration_fit import (
    LEAST_PICTURES,
    LEAST_POINTS,
    Observed,
    fit_map,
    left_out,
    quality,
    without_keypoints,
)
from lvtune.evaluation.inference import Evidence, predict_evidence
from lvtune.evaluation.oks import oks_ap
from lvtune.evaluation.pck import hits_within
from lvtune.evaluation.pixel_errors import distances
from lvtune.evaluation.scores import main_score, predictions_of, scoring_of

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.bases.base import Base
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split
    from lvtune.evaluation.task import Scores

THRESHOLD = 0.2
"""Of PCK."""
SHARE_OF_BOX = 0.05
"""Where the main score is an error in pixels: a point is right within this share of the median box's diagonal."""
_TOLD = ("ece", "ece_raw", "in_radius")


@dataclass(frozen=True)
class Fitted:
    """What was fitted on some pictures."""

    calibration: Calibration | None
    """None: there is too little to fit on."""
    why: str
    """Of what it is the probability and on what it was fitted, or why there is none."""
    left_out: dict[str, Any] | None = None
    """How good such a calibration is on pictures that it was not fitted on, as :func:`measure` gives it: each fifth of
    the pictures by a calibration of the others; None: it cannot be said."""

    def to_dict(self) -> dict[str, float | None] | None:
        """Returns ``ece``, ``ece_raw`` and ``in_radius`` on pictures that were left out, in percent, for the report."""
        return None if self.left_out is None else {name: self.left_out[name] for name in _TOLD}


def calibrate(job: Job) -> tuple[Fitted, Decision]:
    """Fits the calibration of the adapter that is attached now, on the pictures that were kept out.

    Returns:
        What was fitted, and what is to be said of it.
    """
    split, recipe = job.kept_out.target, job.recipe
    if split is None:
        return _none(job.kept_out.missing)
    if recipe.calibrate == "none":
        return _none("the recipe says none")
    try:
        found = fit_on(
            job.base, split, job.adapter.skeleton, category=job.category, batch_size=recipe.evaluate.batch_size,
            pixels=recipe.calibrate_px, flip_test=recipe.evaluate.flip_test,
            not_learnt=unlearnt_keypoints(recipe, job.base, job.train),
        )  # fmt: skip
    except LvtuneError as error:  # a picture of these is broken: the run is not lost for it
        return _none(f"pictures that were kept out: {error.given}")
    if found.calibration is None:
        return _none(found.why)
    why = f"{found.why} that this run neither tuned nor tested on{_left_out_words(found.left_out)}"
    return found, Decision("calibration", f"{found.calibration.points} key points", why)


def _none(why: str) -> tuple[Fitted, Decision]:
    return Fitted(None, why), Decision("calibration", "none", why)


def _left_out_words(found: dict[str, Any] | None) -> str:
    if found is None or found["ece"] is None:
        return ""
    return f"; ECE {found['ece']:.1f}% where each fifth of them is left out, {found['ece_raw']:.1f}% of the maxima"


def fit_on(
    base: Base,
    split: Split,
    skeleton: Skeleton,
    *,
    category: Any = None,
    batch_size: int = 64,
    pixels: float | None = None,
    flip_test: bool = True,
    not_learnt: Collection[str] = (),
) -> Fitted:
    """Fits the calibration of a base, with the adapter that is active, on labelled pictures.

    Args:
        base: the estimator.
        split: labelled pictures that neither base nor adapter was tuned on.
        skeleton: of the K key points that are predicted.
        category: as of :func:`lvtune.evaluation.inference.predict_evidence`.
        batch_size: pictures at a time.
        pixels: error up to which a point is right; None: PCK@0.2, or a share of the boxes.
        flip_test: what ``left_out`` of the result is for; both kinds are fitted.
        not_learnt: key points that nothing taught: their probability is 0.

    Raises:
        LvtuneError: a picture cannot be read.
    """
    pixels, within = _threshold(split, skeleton, pixels)
    found = {
        flip: predict_evidence(base, split, flip_test=flip, category=category, skeleton=skeleton, batch_size=batch_size)
        for flip in ((True, False) if skeleton.mirrors else (False,))
    }
    seen = {flip: observe(split, one, skeleton, pixels) for flip, one in found.items()}
    names = _pictures_of(split)
    pictures, points = len(set(names.tolist())), int(seen[False].counted.sum())
    if pictures < LEAST_PICTURES or points < LEAST_POINTS:
        return Fitted(None, f"{pictures} pictures with {points} points; it takes {LEAST_PICTURES} and {LEAST_POINTS}")
    learnt = np.array([name not in not_learnt for name in skeleton.keypoints])
    maps = {flip: without_keypoints(fit_map(one), learnt) for flip, one in seen.items()}
    made = Calibration(
        skeleton.keypoints, maps.get(True, maps[False]), maps[False], within, pixels, pictures, points, split.name
    )
    used = flip_test and skeleton.mirrors
    said = left_out(seen[used], names)
    quality_of = None if said is None else {"within": within, "fitted_here": True, **quality(seen[used], said)}
    return Fitted(made, f"P(within {within}) on {pictures} pictures of {split.name}", quality_of)


def _pictures_of(split: Split) -> np.ndarray:
    """(N,) name of each sample's picture."""
    return split.table.column("image").astype(str)[rows_of(split)]


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
    rows = rows_of(split)
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


def rows_of(split: Split) -> np.ndarray:
    """(N,) the person of each sample."""
    views = len(split.views or " ")
    items = np.arange(len(split.table) * views) if split.items is None else np.array(split.items)
    return items // views


def measure(split: Split, scores: Scores | None, calibration: Calibration | None, flip_test: bool) -> Any:
    """Returns how good the calibrated confidence is on a scored split; None without a calibration or evidence.

    Returns:
        What :func:`lvtune.evaluation.calibration_fit.quality` gives; ``within``; ``fitted_on``; ``ap_raw`` and ``ap``,
        with the product of COCO's protocol and with the expected OKS as the pose's score.
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
    fitted_on = f"{calibration.pictures} pictures ({calibration.data})"
    return {
        "within": calibration.within,
        "fitted_on": fitted_on,
        **values,
        "ap": None if ap < 0 else 100 * ap,
        "ap_raw": scores.values["ap"],
    }
