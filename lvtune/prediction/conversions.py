"""Turns poses into what other libraries work with: pandas, COCO, supervision. They are imported where they are used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.evaluation.oks import rescore

if TYPE_CHECKING:
    from lvtune.prediction.pose import Pose


def _library(name: str, method: str, install: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"{method} without {name} ({error})", f"{name} installed", f"type `{install}`") from None


def poses_to_pandas(poses: Sequence[Pose]) -> Any:
    """Returns a pandas DataFrame with one row a pose; the columns are those of ``poses.csv``, without ``image_id``.

    Raises:
        UsageError: pandas is missing.
    """
    pandas = _library("pandas", "to_pandas", 'pip install "lvtune[labels]"')
    rows = []
    for pose in poses:
        box = dict(zip(("box_x", "box_y", "box_width", "box_height"), pose.bbox, strict=True))
        row: dict[str, Any] = {"image": pose.image, "category": pose.category, "adapter": pose.adapter or None, **box}
        row |= {"box_score": pose.box_score, "mean_score": float(np.mean(pose.scores))}
        row |= {"frame": pose.frame, "time": pose.time, "track": pose.track}
        for name, (x, y), score in zip(pose.skeleton.keypoints, pose.keypoints, pose.scores, strict=True):
            row |= {f"{name}_x": float(x), f"{name}_y": float(y), f"{name}_score": float(score)}
        rows.append(row)
    frame = pandas.DataFrame(rows)
    empty = [name for name in ("frame", "time", "track") if name in frame and frame[name].isna().all()]
    return frame.drop(columns=empty)


def poses_to_coco(
    poses: Sequence[Pose], pictures: Sequence[Path], image_ids: Mapping[Path, int], sizes: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    """Returns a COCO data set, which ``pycocotools`` reads: ``images``, ``annotations``, ``categories``.

    Every key point has visibility 2; its score stands in ``keypoint_scores``, the pose's in ``score``. Poses of
    different skeletons have different categories. Each frame of a video is an image of its own.

    Args:
        poses: of some pictures.
        pictures: all pictures, also those without a pose; for a video they may be made-up names of its frames.
        image_ids: picture to the id that it has in a COCO file; the others are counted.
        sizes: picture, as poses name it, to width and height, where they are known.
    """
    keys: dict[tuple[str, int | None], int] = {}
    named = {pose.image for pose in poses if pose.frame is not None}
    for picture in pictures:
        # the made-up names of a video's frames are not repeated
        if not any(part in named for part in map(str, picture.parents)):
            keys.setdefault((str(picture), None), 0)
    for pose in poses:
        keys.setdefault((pose.image, pose.frame), 0)
    free = max(image_ids.values(), default=0)
    for place, key in enumerate(keys):
        keys[key] = image_ids.get(Path(key[0]), free + place + 1)
    skeletons = list({pose.skeleton.name: pose.skeleton for pose in poses}.values())
    category = {skeleton.name: place for place, skeleton in enumerate(skeletons, 1)}
    return {
        "images": [_image(name, number, key, sizes) for (name, number), key in keys.items()],
        "categories": [
            {"id": category[one.name], "name": one.name, "keypoints": list(one.keypoints),
             "skeleton": [[a + 1, b + 1] for a, b in one.links]}
            for one in skeletons
        ],
        "annotations": [
            _annotation(pose, place, keys[pose.image, pose.frame], category[pose.skeleton.name])
            for place, pose in enumerate(poses, 1)
        ],
    }  # fmt: skip


def _image(name: str, number: int | None, key: int, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    size = sizes.get(name)
    known = {} if size is None else {"width": size[0], "height": size[1]}
    return {"id": key, "file_name": name, **known, **({} if number is None else {"frame": number})}


def _annotation(pose: Pose, number: int, image_id: int, category: int) -> dict[str, Any]:
    points = np.column_stack([pose.keypoints, np.full(len(pose.scores), 2)]).astype(float)
    tracked = {} if pose.track is None else {"track_id": pose.track}
    return {
        "id": number, "image_id": image_id, "category_id": category, "bbox": list(pose.bbox),
        "area": pose.bbox[2] * pose.bbox[3], "iscrowd": 0, "num_keypoints": len(points),
        "keypoints": points.reshape(-1).tolist(), "keypoint_scores": [float(score) for score in pose.scores],
        "score": float(rescore(np.array([pose.box_score]), np.asarray(pose.scores)[None])[0]), **tracked,
    }  # fmt: skip


def poses_to_supervision(poses: Sequence[Pose]) -> Any:
    """Returns ``supervision.KeyPoints`` of all poses, in order, with ``data`` on where they are from.

    Raises:
        UsageError: supervision is missing; poses of different skeletons.
    """
    supervision = _library("supervision", "to_supervision", "pip install supervision")
    kinds = {pose.skeleton.keypoints for pose in poses}
    if len(kinds) > 1:
        raise UsageError(f"to_supervision of poses of {len(kinds)} skeletons", "poses with the same key points",
                         "convert the poses of each adapter by themselves")  # fmt: skip
    count = len(next(iter(kinds), ()))
    xy = np.array([pose.keypoints for pose in poses], np.float32).reshape(len(poses), count, 2)
    scores = np.array([pose.scores for pose in poses], np.float32).reshape(len(poses), count)
    if not len(poses):
        return supervision.KeyPoints.empty()
    # supervision 0.28 renamed the field
    known = inspect.signature(supervision.KeyPoints).parameters
    name = "keypoint_confidence" if "keypoint_confidence" in known else "confidence"
    data: dict[str, Any] = {"image": np.array([pose.image for pose in poses])}
    if all(pose.track is not None for pose in poses):
        data["tracker_id"] = np.array([pose.track for pose in poses])
    return supervision.KeyPoints(xy=xy, class_id=np.zeros(len(poses), int), data=data, **{name: scores})
