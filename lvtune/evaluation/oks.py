"""OKS-AP as pycocotools computes it, with the rescoring and OKS-NMS of the top-down protocol.

The protocol is that of the COCO metric of MMPose 1.x, which published ViTPose figures use: an instance's score is the
box score times the mean of the key point scores above 0.2; OKS-NMS at 0.9 uses the area of the padded box. All images
are computed at once; the ten numbers equal pycocotools' (tests/evaluation/test_oks_matching.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lvtune.core.errors import DataError, TrainingError
from lvtune.data.skeletons import Skeleton
from lvtune.evaluation.average_precision import summary
from lvtune.evaluation.oks_matching import match
from lvtune.evaluation.oks_pairs import Found, pairs_within, persons_of, ranks, similarity_of_poses

NAMES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
"""The ten numbers of a COCO key point summary, in its order."""
NMS_THRESHOLD, KEYPOINT_THRESHOLD, PADDING = 0.9, 0.2, 1.25


def rescore(box_scores: np.ndarray, keypoint_scores: np.ndarray, threshold: float = 0.2) -> np.ndarray:
    """Returns (N,) the box scores (N,) times the mean of the key point scores (N, K) above ``threshold``."""
    kept = keypoint_scores > threshold
    total = np.where(kept, keypoint_scores, 0.0).sum(1)
    return box_scores * total / np.maximum(kept.sum(1), 1)


def oks_nms(
    keypoints: np.ndarray,
    areas: np.ndarray,
    scores: np.ndarray,
    sigmas: np.ndarray,
    threshold: float = 0.9,
    image: np.ndarray | None = None,
) -> np.ndarray:
    """Returns (M,) the places kept, image after image, best first; drops a pose whose OKS with a better one is above.

    Args:
        keypoints: (N, K, 2), in pixels.
        areas: (N,), of which the mean of both poses counts.
        scores: (N,)
        sigmas: (K,)
        threshold: OKS from which two poses count as one.
        image: (N,) ids; poses of different images leave each other alone. None: one image.
    """
    image = np.zeros(len(scores), np.int64) if image is None else image
    order = np.lexsort((-scores, image))
    better, worse = pairs_within(image[order], image[order])
    better, worse = better[better < worse], worse[better < worse]
    alike = similarity_of_poses(keypoints[order], areas[order], better, worse, sigmas) > threshold
    better, worse = better[alike], worse[alike]
    kept = np.ones(len(order), bool)
    rank = ranks(image[order])[worse]
    for place in np.unique(rank):  # whether a better pose was kept is known when its turn is over
        mine = rank == place
        kept[worse[mine][kept[better[mine]]]] = False
    return order[kept]


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


def _best_poses(
    predictions: Sequence[Mapping[str, Any]],
    skeleton: Skeleton,
    nms_threshold: float,
    keypoint_threshold: float,
    padding: float,
) -> tuple[Found, np.ndarray]:
    """Rescored predictions after OKS-NMS, and the scores (D, K) of their key points."""
    stacked = _stack(predictions, skeleton, padding)
    final = rescore(stacked["box_score"], stacked["scores"], keypoint_threshold)
    sigmas, points, image = np.array(skeleton.sigmas), stacked["keypoints"], stacked["image_id"]
    kept = oks_nms(points, stacked["area"], final, sigmas, nms_threshold, image)
    # pycocotools takes a result's box and area from its key points' extent
    points = points[kept]
    extent = points.max(1) - points.min(1) if len(kept) else np.zeros((0, 2))
    return Found(image[kept], points, extent[:, 0] * extent[:, 1], final[kept]), stacked["scores"][kept]


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
    found, scores = _best_poses(predictions, skeleton, nms_threshold, keypoint_threshold, padding)
    keypoints = (
        np.concatenate([found.keypoints, scores[..., None]], 2)
        .reshape(len(found), 3 * len(skeleton.keypoints))
        .tolist()
    )
    corner = found.keypoints.min(1) if len(found) else np.zeros((0, 2))
    boxes = np.concatenate([corner, found.keypoints.max(1) - corner], 1).tolist() if len(found) else []
    values = zip(found.image.tolist(), keypoints, found.scores.tolist(), found.areas.tolist(), boxes, strict=True)
    return [
        {
            "id": number, "image_id": image, "category_id": 1, "keypoints": points, "score": score, "area": area,
            "iscrowd": 0, "bbox": box,
        }
        for number, (image, points, score, area, box) in enumerate(values, 1)
    ]  # fmt: skip


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
    found, _ = _best_poses(predictions, skeleton, nms_threshold, keypoint_threshold, padding)
    images = np.array([image["id"] for image in ground_truth["images"]], np.int64)
    strange = found.image[~np.isin(found.image, images)]
    if len(strange):
        raise DataError(
            f"predictions for image {strange.min()}, which the ground truth does not have",
            "image ids of the annotation file",
            "score against the annotations that were predicted on",
        )
    known = set(images.tolist())
    notes = [note for note in ground_truth["annotations"] if note["image_id"] in known]
    other = next((note for note in notes if note.get("category_id", 1) != 1), None)
    if other is not None:
        raise DataError(
            f"annotation {other['id']} of category {other['category_id']}",
            "instances of one category, 1",
            "score each category by itself",
        )
    sigmas = np.array(skeleton.sigmas)
    stats = summary(match(found, persons_of(notes, len(sigmas)), sigmas))
    return dict(zip(NAMES, map(float, stats), strict=True))
