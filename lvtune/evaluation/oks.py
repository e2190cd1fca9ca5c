"""OKS-AP by pycocotools, with the rescoring and OKS-NMS of the top-down protocol.

The protocol is that of the COCO metric of MMPose 1.x, which published ViTPose figures use: an instance's score is the
box score times the mean of the key point scores above 0.2; OKS-NMS at 0.9 uses the area of the padded box.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lvtune.core.errors import DataError, TrainingError
from lvtune.data.skeletons import Skeleton

NAMES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
"""The ten numbers of a COCO key point summary, in its order."""
NMS_THRESHOLD, KEYPOINT_THRESHOLD, PADDING = 0.9, 0.2, 1.25


def rescore(box_scores: np.ndarray, keypoint_scores: np.ndarray, threshold: float = 0.2) -> np.ndarray:
    """Returns (N,) the box scores (N,) times the mean of the key point scores (N, K) above ``threshold``."""
    kept = keypoint_scores > threshold
    total = np.where(kept, keypoint_scores, 0.0).sum(1)
    return box_scores * total / np.maximum(kept.sum(1), 1)


def oks_matrix(keypoints: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Returns the OKS (M, M) of every pose (M, K, 2) with every other; areas (M,) are averaged, sigmas (K,)."""
    squared = ((keypoints[:, None] - keypoints[None]) ** 2).sum(-1)
    # The spacing keeps a box of no size from dividing by zero, as in the reference.
    mean_area = (areas[:, None] + areas[None]) / 2 + np.spacing(1)
    return np.exp(-squared / (2 * sigmas) ** 2 / mean_area[..., None] / 2).mean(-1)


def oks_nms(
    keypoints: np.ndarray, areas: np.ndarray, scores: np.ndarray, sigmas: np.ndarray, threshold: float = 0.9
) -> list[int]:
    """Returns the indices kept in one image, best first; drops a pose whose OKS with a better one is above."""
    similar = oks_matrix(keypoints, areas, sigmas) > threshold
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if not similar[index, kept].any():
            kept.append(int(index))
    return kept


Stacked = dict[str, np.ndarray]


def _stack(predictions: Sequence[Mapping[str, Any]], skeleton: Skeleton, padding: float) -> Stacked:
    count, known = len(skeleton.keypoints), len(predictions)
    try:
        stacked = {
            "image_id": np.array([p["image_id"] for p in predictions], np.int64),
            "box_score": np.array([p["bbox_score"] for p in predictions], float),
            "keypoints": np.array([p["keypoints"] for p in predictions], float).reshape(known, count, 2),
            "scores": np.array([p["keypoint_scores"] for p in predictions], float).reshape(known, count),
            "area": np.array(
                [p["area"] if "area" in p else p["bbox"][2] * p["bbox"][3] * padding**2 for p in predictions],
                float,
            ),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"predictions that do not fit skeleton '{skeleton.name}' ({type(error).__name__}: {error})",
            f"image_id, bbox, bbox_score, keypoints ({count}, 2), keypoint_scores ({count},) each",
            "predict with a base of the data's skeleton",
        ) from None
    if not all(np.isfinite(values).all() for values in stacked.values()):
        raise TrainingError(
            "predictions that are not finite numbers",
            "finite key points and scores",
            "look for a training that diverged (try a lower --train.lr)",
        )
    return stacked


def coco_results(
    predictions: Sequence[Mapping[str, Any]],
    skeleton: Skeleton,
    *,
    nms_threshold: float = NMS_THRESHOLD,
    keypoint_threshold: float = KEYPOINT_THRESHOLD,
    padding: float = PADDING,
) -> list[dict[str, Any]]:
    """Returns predictions as COCO results, after rescoring and OKS-NMS; arguments as for :func:`oks_ap`.

    Each result has ``id``, ``image_id``, ``category_id`` 1, ``keypoints`` (x, y, score for each), ``score``, and the
    ``area``, ``bbox`` and ``iscrowd`` that pycocotools makes of a results file.
    """
    stacked = _stack(predictions, skeleton, padding)
    final = rescore(stacked["box_score"], stacked["scores"], keypoint_threshold)
    order = np.argsort(stacked["image_id"], kind="stable")
    starts = np.unique(stacked["image_id"][order], return_index=True)[1]
    sigmas = np.array(skeleton.sigmas)
    results: list[dict[str, Any]] = []
    for rows in np.split(order, starts[1:]) if len(order) else []:
        kept = oks_nms(stacked["keypoints"][rows], stacked["area"][rows], final[rows], sigmas, nms_threshold)
        for row in rows[kept]:
            values = (stacked["keypoints"][row], stacked["scores"][row], float(final[row]))
            results.append({"id": len(results) + 1, "image_id": int(stacked["image_id"][row]), **_result(*values)})
    return results


def _result(points: np.ndarray, scores: np.ndarray, score: float) -> dict[str, Any]:
    # pycocotools takes a result's box and area from its key points' extent
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return {
        "category_id": 1,
        "keypoints": np.column_stack([points, scores]).reshape(-1).tolist(),
        "score": score,
        "area": float((right - left) * (bottom - top)),
        "iscrowd": 0,
        "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
    }


def oks_ap(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    skeleton: Skeleton,
    *,
    nms_threshold: float = NMS_THRESHOLD,
    keypoint_threshold: float = KEYPOINT_THRESHOLD,
    padding: float = PADDING,
) -> dict[str, float]:
    """Scores predictions by COCO's key point AP and AR.

    Args:
        ground_truth: a COCO key point file's content (`PoseTable.coco_ground_truth`); its key points are
            the skeleton's, its instances of category 1.
        predictions: dicts with image_id, bbox (xywh), bbox_score, keypoints (K, 2) in image pixels,
            keypoint_scores (K,), and optionally area (of the padded box; by default bbox area x padding²).
        skeleton: gives the K OKS sigmas.
        nms_threshold: a prediction whose OKS with a better one is above is dropped.
        keypoint_threshold: key points of a lower score do not count in the instance's score.
        padding: of the box, for the area.

    Returns:
        Each of `NAMES` with its value, 0 to 1; -1 without ground truth of that size (pycocotools' convention).

    Raises:
        LvtuneError: predictions of another skeleton, of unknown images, or not finite.
    """
    from pycocotools.coco import COCO

    from lvtune.evaluation.oks_matching import KeypointEvaluation

    results = coco_results(
        predictions, skeleton, nms_threshold=nms_threshold, keypoint_threshold=keypoint_threshold, padding=padding
    )
    strange = {result["image_id"] for result in results} - {image["id"] for image in ground_truth["images"]}
    if strange:
        raise DataError(
            f"predictions for image {min(strange)}, which the ground truth does not have",
            "image ids of the annotation file",
            "score against the annotations that were predicted on",
        )
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth: Any = COCO()
        found: Any = COCO()
        # Copies: pycocotools writes `ignore` into the annotations that it is given.
        truth.dataset = {**ground_truth, "annotations": [dict(a) for a in ground_truth["annotations"]]}
        found.dataset = {**ground_truth, "annotations": results}
        truth.createIndex()
        found.createIndex()
        evaluation = KeypointEvaluation(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, map(float, evaluation.stats), strict=True))
