"""Computes every score of one set of predictions, each under the name of its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.core.registry import suggest
from lvtune.data.mixed import MixedTable
from lvtune.data.skeletons import Skeleton
from lvtune.data.table import PoseTable
from lvtune.evaluation.oks import oks_ap
from lvtune.evaluation.oks_sigmas import sigma_source
from lvtune.evaluation.pck import TORSO, pck, reference_of
from lvtune.evaluation.pixel_errors import P_CUTOFF, distances, pixel_errors

PROTOCOLS = ("pck", "px", "ap")
THRESHOLDS = (0.2, 0.5)
_MEANS = ("px_mean", "px_median", "px_rms", "ap")
"""Scores whose mean over the parts of a mixture is reported, beside PCK's."""
_OF_KEYPOINTS = ("per_joint", "px_per_keypoint", "px_median_per_keypoint", "px_rms_per_keypoint")


class _Protocols(NamedTuple):
    names: tuple[str, ...]
    thresholds: tuple[float, ...]
    p_cutoff: float


def main_score(skeleton: Skeleton) -> str:
    """Returns the key of the main score: PCK where the skeleton has a torso, else the mean error in pixels."""
    return "pck@0.2" if reference_of(skeleton).name == TORSO else "px_mean"


def scoring_of(skeleton: Skeleton) -> dict[str, Any]:
    """Returns how poses of a skeleton are scored: ``pck_by``, ``sigmas`` and one sentence each in ``notes``."""
    reference, sigmas = reference_of(skeleton), sigma_source(skeleton)
    notes = [sigmas.text] if sigmas.guessed else []
    if reference.name != TORSO:
        notes.append(f"PCK is normalised by the {reference.name}: the skeleton has no left_shoulder and right_hip")
    return {"pck_by": reference.name, "sigmas": sigmas.to_dict(), "notes": notes}


def predictions_of(table: PoseTable, keypoints: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """Returns predictions for a table's N instances as :func:`lvtune.evaluation.oks.oks_ap` takes them."""
    columns = (table.column(name) for name in ("image_id", "bbox", "score"))
    return [
        {"image_id": int(i), "bbox": box, "bbox_score": sure, "keypoints": points, "keypoint_scores": each}
        for i, box, sure, points, each in zip(*columns, keypoints, scores, strict=True)
    ]


def score_predictions(
    table: PoseTable | MixedTable,
    keypoints: np.ndarray,
    scores: np.ndarray,
    protocols: Sequence[str] = PROTOCOLS,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    p_cutoff: float = P_CUTOFF,
) -> dict[str, Any]:
    """Scores the predictions for N instances against the table that they were made for.

    Args:
        table: N instances; its boxes (ground truth or a detector's) name the protocol.
        keypoints: (N, K, 2) in image pixels.
        scores: (N, K) key point scores.
        protocols: of `PROTOCOLS`.
        thresholds: of PCK.
        p_cutoff: confidence from which a key point counts in ``px_cutoff``.

    Returns:
        ``pck@0.2``, ``pck@0.5``, ``ap`` in percent; ``px_mean`` and what else :func:`pixel_errors` gives, in pixels;
        ``per_joint`` {name: percent}; ``instances``, and of these ``skipped`` in PCK; ``ap_details`` (all ten COCO
        numbers in percent); ``boxes``, the protocol's name; ``reasons`` {score: why there is none}.
        Of a mixture the means over its parts, which stand in ``parts`` by name.
        None where a score cannot be computed: PCK and pixel errors with detector boxes, which are not matched to
        labelled instances; a score over nothing.

    Raises:
        LvtuneError: unknown protocol, shapes that do not fit, predictions that are not finite.
    """
    how = _Protocols(tuple(protocols), tuple(thresholds), p_cutoff)
    if isinstance(table, MixedTable):
        return _by_part(table, np.asarray(keypoints), np.asarray(scores), how)
    keypoints, scores = np.asarray(keypoints, float), np.asarray(scores, float)
    _check(table, keypoints, scores, protocols)
    is_detected = table.box_format is not None
    result: dict[str, Any] = {
        "boxes": "detector boxes" if is_detected else "ground truth boxes",
        "instances": len(table),
        "reasons": {},
    }
    if is_detected:
        result |= {f"pck@{t:g}": None for t in thresholds} if "pck" in protocols else {}
        result |= {"px_mean": None} if "px" in protocols else {}
        why = "a detector's boxes are not matched to labelled instances"
        result["reasons"] |= {name: why for name, value in result.items() if value is None}
    else:
        result |= _against_labels(table, keypoints, scores, how)
    if "ap" in protocols:
        details = oks_ap(table.coco_ground_truth(), predictions_of(table, keypoints, scores), table.skeleton)
        # pycocotools says -1 where there is nothing to find
        result["ap_details"] = {name: None if v < 0 else 100 * v for name, v in details.items()}
        result["ap"] = result["ap_details"]["AP"]
        if result["ap"] is None:
            result["reasons"]["ap"] = "no labelled instance to find"
    return result


def _against_labels(table: PoseTable, keypoints: np.ndarray, scores: np.ndarray, how: _Protocols) -> dict[str, Any]:
    """Scores that need each prediction's own label."""
    truth, skeleton = table.column("keypoints"), table.skeleton
    labels, visible = truth[..., :2], truth[..., 2]
    result: dict[str, Any] = {"reasons": {}}
    if "pck" in how.names:
        found = pck(keypoints, labels, visible, skeleton, how.thresholds, boxes=table.column("bbox"))
        counted = found.pop("counted")
        result |= found
        if not counted:
            why = f"no instance whose {found['pck_by']} is labelled"
            result["reasons"] |= {f"pck@{t:g}": why for t in how.thresholds}
    if "px" in how.names:
        result |= pixel_errors(distances(keypoints, labels, visible), scores, skeleton.keypoints, how.p_cutoff)
        if not result["px_points"]:
            result["reasons"]["px_mean"] = "no labelled key point"
    return result


def _check(table: PoseTable, keypoints: np.ndarray, scores: np.ndarray, protocols: Sequence[str]) -> None:
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown:
        raise UsageError(
            f"protocol '{unknown[0]}'",
            f"one of {', '.join(PROTOCOLS)}",
            suggest(unknown[0], list(PROTOCOLS), "choose one of these"),
        )
    shape = (len(table), len(table.skeleton.keypoints))
    if keypoints.shape != (*shape, 2) or scores.shape != shape:
        raise DataError(
            f"predictions {keypoints.shape} and scores {scores.shape} for {len(table)} instances",
            f"{(*shape, 2)} and {shape}: one prediction for each instance of the table",
            "predict with a base of the data's skeleton, on this very table",
        )


def _by_part(table: MixedTable, keypoints: np.ndarray, scores: np.ndarray, how: _Protocols) -> dict[str, Any]:
    """Scores each part by itself, and averages: data sets of unlike sizes count alike."""
    parts = {
        name: score_predictions(
            part, keypoints[places], scores[places], how.names, how.thresholds, p_cutoff=how.p_cutoff
        )
        for name, (part, places) in table.parts.items()
    }
    every = list(parts.values())
    first = every[0]
    values: dict[str, Any] = {name: first[name] for name in ("boxes", "pck_by") if name in first}
    for name in [name for name in first if name in _MEANS or name.startswith("pck@")]:
        values[name] = _mean([part[name] for part in every])
    for name in [name for name in _OF_KEYPOINTS if name in first]:
        values[name] = _of_keypoints([part[name] for part in every], table.skeleton)
    if "px_cutoff" in first:
        values["px_cutoff"] = _cutoff([part["px_cutoff"] for part in every], table.skeleton)
    for name in ("instances", "skipped", "px_points"):
        if name in first:
            values[name] = sum(part[name] for part in every)
    reasons = {score: why for part in every for score, why in part["reasons"].items()}
    return values | {"reasons": reasons, "parts": parts}


def _of_keypoints(parts: Sequence[Mapping[str, float | None]], skeleton: Skeleton) -> dict[str, float | None]:
    names = [name for name in skeleton.keypoints if any(name in part for part in parts)]
    return {name: _mean([part.get(name) for part in parts]) for name in names}


def _cutoff(parts: Sequence[Mapping[str, Any]], skeleton: Skeleton) -> dict[str, Any]:
    figures = {name: _mean([part[name] for part in parts]) for name in ("share", "px_mean", "px_median", "px_rms")}
    points = {name: _of_keypoints([part[name] for part in parts], skeleton) for name in _OF_KEYPOINTS[1:]}
    return {"p_cutoff": parts[0]["p_cutoff"], **figures, **points}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
