"""Cuts pictures into crops and runs the base on them, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lvtune.api.hand_results import in_space
from lvtune.api.pose import Pose
from lvtune.api.pose_confidence import calibrated
from lvtune.data.crop import box_to_center_scale, fix_aspect, to_image, udp_matrix, warp
from lvtune.data.hand_frame import RIGHT
from lvtune.data.images import read_image
from lvtune.evaluation.calibration import spread_of
from lvtune.evaluation.choosing import RankedCategories
from lvtune.evaluation.hand_inference import Hands, look
from lvtune.evaluation.inference import predict_heatmaps
from lvtune.patcher.attaching import use_adapter

if TYPE_CHECKING:
    from lvtune.api.picture_boxes import PictureBoxes
    from lvtune.bases.base import Base
    from lvtune.data.hand_space import HandSpace
    from lvtune.data.skeletons import Skeleton
    from lvtune.evaluation.calibration import Calibration

_PADDING = 1.25
"""Margin around a box, as in training; a whole picture has none: nothing lies around it."""


@dataclass(frozen=True)
class Crop:
    """One instance, cut out of its picture."""

    file: Path
    box: np.ndarray
    """(4,) x, y, width, height in pixels."""
    box_score: float
    center: np.ndarray
    """(2,) in pixels."""
    scale: np.ndarray
    """(2,) width and height of the crop in pixels."""
    picture_size: tuple[int, int]
    """Height and width."""
    category: str | None
    """Category whose sentence is read."""
    pixels: np.ndarray
    """(3, h, w) float32, normalised."""


@dataclass(frozen=True)
class Prediction:
    """How crops are predicted."""

    skeleton: Skeleton
    category: Any
    """Category of all pictures, :class:`RankedCategories`, or None."""
    flip_test: bool
    space: HandSpace
    batch_size: int
    calibration: Calibration | None = None
    """Of the adapter that is active; None: scores stay as they are."""


def predict_pictures(base: Base, files: Sequence[Path], boxes: PictureBoxes, how: Prediction) -> list[Pose]:
    """Returns the pose of every box of some pictures, under the adapter that is active now.

    Raises:
        LvtuneError: a picture that is missing or broken.
    """
    poses: list[Pose] = []
    for crops in _batches(_crops(base, files, boxes, how.category), how.batch_size):
        poses += _predict(base, crops, how)
    return poses


def _crops(base: Base, files: Sequence[Path], boxes: PictureBoxes, category: Any) -> Iterator[Crop]:
    mean, std = (np.asarray(values, np.float32) * 255 for values in (base.mean, base.std))
    for file in files:
        given = boxes.of[file]
        if given is not None and not len(given):
            continue
        image = read_image(file)
        name = category.of_pictures([image])[0] if isinstance(category, RankedCategories) else category
        rows = np.array([[0.0, 0.0, image.shape[1], image.shape[0]]]) if given is None else given
        scores = boxes.scores.get(file, np.ones(len(rows)))
        for box, score in zip(rows, scores, strict=True):
            center, scale = box_to_center_scale(box, padding=1.0 if given is None else _PADDING)
            scale = fix_aspect(scale, base.input_size)
            crop = warp(image, udp_matrix(center, scale, 0.0, base.input_size), base.input_size)
            pixels = ((crop - mean) / std).transpose(2, 0, 1).astype(np.float32)
            yield Crop(file, box, float(score), center, scale, image.shape[:2], name, pixels)


def _batches(crops: Iterable[Crop], size: int) -> Iterator[list[Crop]]:
    waiting = iter(crops)
    while batch := list(islice(waiting, size)):
        yield batch


def _predict(base: Base, crops: list[Crop], how: Prediction) -> list[Pose]:
    pixels = torch.from_numpy(np.stack([crop.pixels for crop in crops]))
    found = _look(base, pixels, [crop.category for crop in crops], how)
    centers, scales = np.stack([crop.center for crop in crops]), np.stack([crop.scale for crop in crops])
    found = replace(found, keypoints=to_image(found.keypoints, centers, scales, base.input_size))
    xyz, unit = in_space(found, np.array([crop.picture_size for crop in crops]), how.space)
    rows = zip(crops, found.keypoints, found.scores, xyz, strict=True)
    poses = [
        Pose(
            str(crop.file), _box(crop), points, scores, how.skeleton, joints, crop.category, unit=unit,
            box_score=crop.box_score,
        )
        for crop, points, scores, joints in rows
    ]  # fmt: skip
    return calibrated(poses, found.spreads, scales[:, 1], how.calibration, how.flip_test and how.skeleton.mirrors)


def _box(crop: Crop) -> tuple[float, float, float, float]:
    x, y, width, height = map(float, crop.box)
    return x, y, width, height


def _look(base: Any, pixels: torch.Tensor, categories: list[str | None], how: Prediction) -> Hands:
    """Predictions for crops (B, 3, H, W); key points in the codec's pixels."""
    category: Any = categories
    if base.task != "hand3d":
        heatmaps = predict_heatmaps(
            base, pixels.to(base.device), category=category, flip_test=how.flip_test, skeleton=how.skeleton
        )
        heatmaps = heatmaps.float().cpu()
        points, scores = base.codec.decode(heatmaps)
        spreads = None if how.calibration is None else spread_of(heatmaps).numpy()
        return Hands(points.numpy(), scores.numpy(), None, spreads)
    # as in training, where left hands are shown mirrored
    left = torch.full((len(pixels),), how.space.side == "left")
    with use_adapter(base, category=category):
        return look(
            base, pixels.flip(-1) if left.any() else pixels, torch.full_like(left, RIGHT, dtype=torch.long), left
        )
