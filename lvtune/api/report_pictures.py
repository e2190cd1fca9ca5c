"""Draws the pictures of a report: before and after, and the five instances with the largest errors."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lvtune.evaluation.inference import predict_split
from lvtune.evaluation.pixel_errors import distances
from lvtune.evaluation.task import Scores

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.data.skeletons import Skeleton

PICTURES, WORST = 6, 5
_LONGEST = 420
_MARGIN = 0.25  # around the box, as a share of its size

Pair = tuple[str, np.ndarray, np.ndarray]
"""Caption, left picture, right picture; (H, W, 3) RGB uint8."""


def before_after(job: Job, before: Scores | None, after: Scores | None) -> list[Pair]:
    """Returns pairs of test pictures: the base alone, and with the adapter.

    They are chosen by how far the key points moved, the most and the least alike, not by how well they fit. Where the
    base does not know the key points they are chosen by the error in the same way; the left picture then shows the key
    points that the base knows by name, or none.
    """
    if after is None:
        return []
    size = np.maximum(job.test.table.column("bbox")[:, 2:].max(1), 1)[: len(after.keypoints)]
    if before is not None:
        moved = np.linalg.norm(after.keypoints - before.keypoints, axis=-1).mean(1) / size
    else:
        moved = np.nan_to_num(_mean_errors(job, after) / size)
    order = np.argsort(-moved, kind="stable")
    spread = order[np.linspace(0, len(order) - 1, min(PICTURES, len(order))).round().astype(int)]
    chosen = list(dict.fromkeys(spread.tolist()))
    known = _known_by_name(job, chosen) if before is None else {i: before.keypoints[i] for i in chosen}
    return [(job.test.table[i].category.replace("_", " "), *_pair(job, i, before, after, known[i])) for i in chosen]


def _pair(
    job: Job, index: int, before: Scores | None, after: Scores, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One instance before and after; ``points`` (K, 2) are those of the base, NaN where it does not know them."""
    image = job.test.picture(index)
    if before is not None and (after.main != "px_mean" or job.test.task != "pose2d"):
        return _drawn(image, before, index, job), _drawn(image, after, index, job)
    left, right = _named(job, index, [points, after.keypoints[index]])
    return left, right


def worst(job: Job, after: Scores | None) -> list[dict[str, Any]]:
    """Returns the test instances with the largest mean error, for ``report.json``.

    Each has ``index``, ``image``, ``px_mean`` and ``px_per_keypoint``, in pixels of the original picture.
    """
    if after is None or job.test.task != "pose2d":
        return []
    errors = _errors(job, after)
    means = _mean_errors(job, after)
    order = np.argsort(-np.nan_to_num(means, nan=-1), kind="stable")[:WORST]
    names = job.adapter.skeleton.keypoints
    return [
        {
            "index": int(i),
            "image": str(job.test.table[int(i)].image),
            "px_mean": float(means[i]),
            "px_per_keypoint": {n: None if np.isnan(e) else float(e) for n, e in zip(names, errors[i], strict=True)},
        }
        for i in order
        if np.isfinite(means[i])
    ]


def worst_pictures(job: Job, after: Scores | None) -> list[Pair]:
    """Returns pairs for the instances of :func:`worst`: the labels left, the prediction right, names in colours."""
    pairs: list[Pair] = []
    if after is None:
        return pairs
    for one in worst(job, after):
        person = job.test.table[one["index"]]
        labels = np.where(person.keypoints[:, 2:] > 0, person.keypoints[:, :2], np.nan)
        left, right = _named(job, one["index"], [labels, after.keypoints[one["index"]]])
        pairs.append((f"{one['image']}: {one['px_mean']:.1f} px", left, right))
    return pairs


def _named(job: Job, index: int, sets: list[np.ndarray]) -> list[np.ndarray]:
    """The part of the picture around an instance, once for each set of key points (K, 2), with names in colours."""
    from lvtune.viz.overlay import draw_named_points

    image, bbox = job.test.picture(index), np.asarray(job.test.table[index].bbox, float)
    size = np.array(image.shape[1::-1], float)
    low, high = bbox[:2] - _MARGIN * bbox[2:], bbox[:2] + (1 + _MARGIN) * bbox[2:]
    points = np.concatenate(sets)
    points = points[np.isfinite(points).all(1)]
    if len(points):
        low, high = np.minimum(low, points.min(0)), np.maximum(high, points.max(0))
    low = np.clip(np.floor(low), 0, size - 1).astype(int)
    high = np.clip(np.ceil(high), low + 1, size).astype(int)
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    shape = {"bbox": bbox, "longest": _LONGEST}
    return [draw_named_points(part, one - low, job.test.table.skeleton, **shape) for one in sets]


def _errors(job: Job, scores: Scores) -> np.ndarray:
    """Error (N, K) of each key point in pixels; NaN where it is not labelled."""
    truth = job.test.table.column("keypoints")
    return distances(scores.keypoints, truth[..., :2], truth[..., 2])


def _mean_errors(job: Job, scores: Scores) -> np.ndarray:
    """Mean error (N,) of each instance in pixels; NaN where no key point is labelled."""
    errors = _errors(job, scores)
    counts = (~np.isnan(errors)).sum(1)
    return np.divide(np.nansum(errors, 1), counts, out=np.full(len(errors), np.nan), where=counts > 0)


def _known_by_name(job: Job, chosen: list[int]) -> dict[int, np.ndarray]:
    """Key points (K, 2) of some test instances that the base, without the adapter, knows by name; NaN for the rest."""
    names = job.test.table.skeleton.keypoints
    shown = {i: np.full((len(names), 2), np.nan) for i in chosen}
    places = _shared_names(job.base.skeleton, job.test.table.skeleton)
    is_drawn = job.test.views is not None or job.test.items is not None or job.test.samples is not None
    if not places or is_drawn or job.base.task != "pose2d":
        return shown
    some = replace(job.test.with_table(job.test.table.select(chosen)), detected=None, as_published=None)
    keypoints, _ = predict_split(job.base, some, category=None, flip_test=job.recipe.evaluate.flip_test)
    for i, points in zip(chosen, keypoints, strict=True):
        for mine, theirs in places.items():
            shown[i][theirs] = points[mine]
    return shown


def _shared_names(base: Skeleton, data: Skeleton) -> dict[int, int]:
    """Index in the base's skeleton to index in the data's, of key points with the same letters in their names."""
    theirs = {re.sub(r"[^a-z0-9]", "", name.lower()): i for i, name in enumerate(data.keypoints)}
    mine = (re.sub(r"[^a-z0-9]", "", name.lower()) for name in base.keypoints)
    return {i: theirs[name] for i, name in enumerate(mine) if name in theirs}


def _drawn(image: np.ndarray, scores: Scores, index: int, job: Job) -> np.ndarray:
    from lvtune.evaluation.hand_scoring import HandScores
    from lvtune.viz.hand_overlay import draw_hand, plot_hand
    from lvtune.viz.overlay import draw_pose

    points, sure, skeleton = scores.keypoints[index], scores.scores[index], job.adapter.skeleton
    if isinstance(scores, HandScores):
        truth = cast(Any, job.test.table[index]).xyz
        overlay = draw_hand(image, points, longest=_LONGEST)
        return np.hstack([overlay, plot_hand(scores.xyz[index], overlay.shape[0], truth=truth - truth[:1])])
    return draw_pose(image, points, sure, skeleton, longest=_LONGEST)
