"""OKS-AP by pycocotools, with the rescoring and OKS-NMS of the top-down protocol.

The protocol is that of the COCO metric of MMPose 1.x (spec: score = box score x mean of the key point scores
above 0.2; OKS-NMS at 0.9 with the padded box's area), which published ViTPose figures use.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import Skeleton

#: The ten numbers of a COCO key point summary, in its order.
NAMES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")


def rescore(box_scores: np.ndarray, keypoint_scores: np.ndarray, threshold: float = 0.2) -> np.ndarray:
    """(N,) box scores and (N, K) key point scores -> (N,) box score x mean of those above ``threshold``."""
    kept = keypoint_scores > threshold
    total = np.where(kept, keypoint_scores, 0.0).sum(1)
    return box_scores * total / np.maximum(kept.sum(1), 1)


def oks_matrix(keypoints: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """OKS of every prediction with every other, areas averaged: (M, K, 2), (M,), (K,) -> (M, M)."""
    squared = ((keypoints[:, None] - keypoints[None]) ** 2).sum(-1)
    # The spacing keeps a box of no size from dividing by zero, as in the reference.
    mean_area = (areas[:, None] + areas[None]) / 2 + np.spacing(1)
    return np.exp(-squared / (2 * sigmas) ** 2 / mean_area[..., None] / 2).mean(-1)


def oks_nms(
    keypoints: np.ndarray, areas: np.ndarray, scores: np.ndarray, sigmas: np.ndarray, threshold: float = 0.9
) -> list[int]:
    """Indices kept in one image, best first; drops a prediction whose OKS with a better one is above."""
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
        raise LvtuneError(
            f"predictions that do not fit skeleton '{skeleton.name}' ({type(error).__name__}: {error})",
            f"image_id, bbox, bbox_score, keypoints ({count}, 2), keypoint_scores ({count},) each",
            "predict with a base of the data's skeleton",
        ) from None
    if not all(np.isfinite(values).all() for values in stacked.values()):
        raise LvtuneError(
            "predictions that are not finite numbers",
            "finite key points and scores",
            "look for a training that diverged (try a lower --train.lr)",
        )
    return stacked


def _detections(stacked: Stacked, sigmas: np.ndarray, nms: float, threshold: float) -> list[dict]:
    """COCO results after rescoring and OKS-NMS."""
    final = rescore(stacked["box_score"], stacked["scores"], threshold)
    order = np.argsort(stacked["image_id"], kind="stable")
    starts = np.unique(stacked["image_id"][order], return_index=True)[1]
    results = []
    for rows in np.split(order, starts[1:]) if len(order) else []:
        kept = oks_nms(stacked["keypoints"][rows], stacked["area"][rows], final[rows], sigmas, nms)
        for row in rows[kept]:
            points = stacked["keypoints"][row]
            (left, top), (right, bottom) = points.min(0), points.max(0)
            # pycocotools takes a result's box and area from its key points' extent.
            results.append(
                {
                    "id": len(results) + 1,
                    "image_id": int(stacked["image_id"][row]),
                    "category_id": 1,
                    "keypoints": np.column_stack([points, stacked["scores"][row]]).reshape(-1).tolist(),
                    "score": float(final[row]),
                    "area": float((right - left) * (bottom - top)),
                    "iscrowd": 0,
                    "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
                }
            )
    return results


def oks_ap(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    skeleton: Skeleton,
    *,
    nms_threshold: float = 0.9,
    keypoint_threshold: float = 0.2,
    padding: float = 1.25,
) -> dict[str, float]:
    """COCO key point AP and AR.

    Args:
        ground_truth: a COCO key point file's content (`PoseTable.coco_ground_truth`); its key points are
            the skeleton's, its persons of category 1.
        predictions: dicts of image_id, bbox (xywh), bbox_score, keypoints (K, 2) in image pixels,
            keypoint_scores (K,), and maybe area (of the padded box; by default bbox area x padding²).
        skeleton: gives the K OKS sigmas.
        nms_threshold: a prediction whose OKS with a better one is above is dropped.
        keypoint_threshold: key points of a lower score do not count in the person's score.
        padding: of the box, for the area.

    Returns:
        `NAMES` -> 0 to 1; -1 where there is no ground truth of that size (pycocotools' convention).

    Raises:
        LvtuneError: predictions of another skeleton, of unknown images, or not finite.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    stacked = _stack(predictions, skeleton, padding)
    strange = set(stacked["image_id"].tolist()) - {image["id"] for image in ground_truth["images"]}
    if strange:
        raise LvtuneError(
            f"predictions for image {min(strange)}, which the ground truth does not have",
            "image ids of the annotation file",
            "score against the annotations that were predicted on",
        )
    sigmas = np.array(skeleton.sigmas)
    results = _detections(stacked, sigmas, nms_threshold, keypoint_threshold)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth, found = COCO(), COCO()
        # Copies: pycocotools writes `ignore` into the annotations that it is given.
        truth.dataset = {**ground_truth, "annotations": [dict(a) for a in ground_truth["annotations"]]}
        found.dataset = {**ground_truth, "annotations": results}
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, map(float, evaluation.stats), strict=True))
