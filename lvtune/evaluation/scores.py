"""Every score of one run of predictions, in percent, under the name of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest
from lvtune.data.mixed import MixedTable
from lvtune.data.table import PoseTable
from lvtune.evaluation.oks import oks_ap
from lvtune.evaluation.pck import pck

PROTOCOLS = ("pck", "ap")


def _predictions(table: PoseTable, keypoints: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
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
    thresholds: Sequence[float] = (0.2, 0.5),
) -> dict[str, Any]:
    """Score N persons' predictions against the table they were made for.

    Args:
        table: N persons; its boxes (ground truth or a detector's) name the protocol.
        keypoints: (N, K, 2) in image pixels.
        scores: (N, K) key point scores.
        protocols: of `PROTOCOLS`.
        thresholds: of PCK.

    Returns:
        ``pck@0.2``, ``pck@0.5``, ``ap`` in percent; ``per_joint`` {name: percent}; ``persons`` and
        ``skipped`` of PCK; ``ap_details`` (all ten COCO numbers in percent); ``boxes``, the protocol's name.
        Of a mixture the means over its parts, which stand in ``parts`` by name.
        None where a score cannot be had: PCK with detector boxes (they belong to nobody) or without a
        torso in the skeleton, AP without ground truth of that size.

    Raises:
        LvtuneError: unknown protocol, shapes that do not fit, predictions that are not finite.
    """
    if isinstance(table, MixedTable):
        return _by_part(table, np.asarray(keypoints), np.asarray(scores), protocols, thresholds)
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown:
        raise LvtuneError(
            f"protocol '{unknown[0]}'",
            f"of {', '.join(PROTOCOLS)}",
            suggest(unknown[0], list(PROTOCOLS), "choose one of these"),
        )
    keypoints, scores = np.asarray(keypoints, float), np.asarray(scores, float)
    shape = (len(table), len(table.skeleton.keypoints))
    if keypoints.shape != (*shape, 2) or scores.shape != shape:
        raise LvtuneError(
            f"predictions {keypoints.shape} and scores {scores.shape} for {len(table)} persons",
            f"{(*shape, 2)} and {shape}: one prediction for each person of the table",
            "predict with a base of the data's skeleton, on this very table",
        )
    detected = table.box_format is not None
    result: dict[str, Any] = {"boxes": "detector boxes" if detected else "ground truth boxes"}
    if "pck" in protocols:
        if detected or table.skeleton.torso is None:
            empty = {f"pck@{t:g}": None for t in thresholds}
            result |= {**empty, "per_joint": {}, "persons": 0, "skipped": len(table)}
        else:
            truth = table.column("keypoints")
            result |= pck(keypoints, truth[..., :2], truth[..., 2], table.skeleton, thresholds)
    if "ap" in protocols:
        details = oks_ap(table.coco_ground_truth(), _predictions(table, keypoints, scores), table.skeleton)
        # pycocotools says -1 where there is nothing to find.
        result["ap_details"] = {name: None if v < 0 else 100 * v for name, v in details.items()}
        result["ap"] = result["ap_details"]["AP"]
    return result


def _by_part(
    table: MixedTable, keypoints: np.ndarray, scores: np.ndarray, protocols: Sequence[str], thresholds: Sequence[float]
) -> dict[str, Any]:
    """Each part scored by itself: a mean over the parts says more than one figure over data sets of unlike sizes."""
    parts = {
        name: score_predictions(part, keypoints[places], scores[places], protocols, thresholds)
        for name, (part, places) in table.parts.items()
    }
    first, *_ = parts.values()
    values: dict[str, Any] = {"boxes": first["boxes"]}
    for name in [name for name in first if name == "ap" or name.startswith("pck@")]:
        values[name] = _mean([part[name] for part in parts.values()])
    if "per_joint" in first:
        joints = {key for part in parts.values() for key in part["per_joint"]}
        ordered = [name for name in table.skeleton.keypoints if name in joints]
        values["per_joint"] = {k: _mean([p["per_joint"].get(k) for p in parts.values()]) for k in ordered}
        values |= {count: sum(part[count] for part in parts.values()) for count in ("persons", "skipped")}
    return values | {"parts": parts}


def _mean(values: Sequence[float | None]) -> float | None:
    return None if None in values else float(np.mean(values))
