"""Cuts frames into crops and runs the pose estimator on them, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lvtune.data.crop import box_to_center_scale, fix_aspect, to_image, udp_matrix, warp
from lvtune.data.hand_frame import RIGHT
from lvtune.evaluation.choosing import RankedCategories
from lvtune.evaluation.hand_inference import Hands, look
from lvtune.evaluation.inference import predict_heatmaps
from lvtune.patcher.attaching import use_adapter
from lvtune.prediction.hand_results import in_space
from lvtune.prediction.pose import Pose, PoseHeatmap

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.hand_space import HandSpace
    from lvtune.data.skeletons import Skeleton
    from lvtune.prediction.finder import Found
    from lvtune.prediction.frames import Frame


@dataclass(frozen=True)
class Crop:
    """One instance, cut out of its frame."""

    place: int
    """Of its frame among those at hand."""
    frame: Frame
    box: np.ndarray
    """(4,) x, y, width, height in pixels."""
    box_score: float
    label: str | None
    center: np.ndarray
    """(2,) in pixels."""
    scale: np.ndarray
    """(2,) width and height of the crop in pixels."""
    category: str | None
    """Category whose sentence is read."""
    pixels: np.ndarray
    """(3, h, w) float32, normalised."""


Watch = Callable[[Sequence[Crop], torch.Tensor], None]
"""Is shown the crops of each batch and their heatmaps (B, K, h, w) on the CPU."""


@dataclass(frozen=True)
class Prediction:
    """How crops are predicted."""

    skeleton: Skeleton
    category: Any
    """Category of all pictures, :class:`RankedCategories`, or None."""
    flip_test: bool
    space: HandSpace
    batch_size: int
    watches: tuple[Watch, ...] = ()
    """Look at the heatmaps; not called for hands in space."""


def predict_frames(base: Base, frames: Sequence[Frame], found: Sequence[Found], how: Prediction) -> list[list[Pose]]:
    """Returns the poses of each frame, one for each box, under the adapter that is active now.

    Crops are made a batch at a time, so that a crowd needs no more memory than one person.

    Args:
        base: the estimator.
        frames: with their pixels.
        found: the boxes of each.
        how: to predict.
    """
    poses: list[list[Pose]] = [[] for _ in frames]
    for crops in _batches(_crops(base, frames, found, how.category), how.batch_size):
        for crop, pose in zip(crops, _predict(base, crops, how), strict=True):
            poses[crop.place].append(pose)
    return poses


def _crops(base: Base, frames: Sequence[Frame], found: Sequence[Found], category: Any) -> Iterator[Crop]:
    mean, std = (np.asarray(values, np.float32) * 255 for values in (base.mean, base.std))
    for place, (frame, boxes) in enumerate(zip(frames, found, strict=True)):
        if not len(boxes.boxes) or frame.pixels is None:
            continue
        name = category.of_pictures([frame.pixels])[0] if isinstance(category, RankedCategories) else category
        labels = boxes.labels or (None,) * len(boxes.boxes)
        for box, score, label in zip(boxes.boxes, boxes.scores, labels, strict=True):
            center, scale = box_to_center_scale(box, padding=boxes.padding)
            scale = fix_aspect(scale, base.input_size)
            crop = warp(frame.pixels, udp_matrix(center, scale, 0.0, base.input_size), base.input_size)
            pixels = ((crop - mean) / std).transpose(2, 0, 1).astype(np.float32)
            yield Crop(place, frame, box, float(score), label, center, scale, name, pixels)


def _batches(crops: Iterable[Crop], size: int) -> Iterator[list[Crop]]:
    waiting = iter(crops)
    while batch := list(islice(waiting, size)):
        yield batch


def _predict(base: Base, crops: list[Crop], how: Prediction) -> list[Pose]:
    pixels = torch.from_numpy(np.stack([crop.pixels for crop in crops]))
    found = _look(base, pixels, crops, how)
    centers, scales = np.stack([crop.center for crop in crops]), np.stack([crop.scale for crop in crops])
    found = replace(found, keypoints=to_image(found.keypoints, centers, scales, base.input_size))
    xyz, unit = in_space(found, np.array([_height_width(crop.frame) for crop in crops]), how.space)
    rows = zip(crops, found.keypoints, found.scores, xyz, strict=True)
    return [
        Pose(
            crop.frame.image, _box(crop), points, scores, how.skeleton, joints, crop.category, unit=unit,
            box_score=crop.box_score, frame=crop.frame.number, time=crop.frame.time, label=crop.label,
        )
        for crop, points, scores, joints in rows
    ]  # fmt: skip


def _height_width(frame: Frame) -> tuple[int, int]:
    assert frame.pixels is not None
    return frame.pixels.shape[0], frame.pixels.shape[1]


def _box(crop: Crop) -> tuple[float, float, float, float]:
    x, y, width, height = map(float, crop.box)
    return x, y, width, height


def _look(base: Any, pixels: torch.Tensor, crops: Sequence[Crop], how: Prediction) -> Hands:
    """Predictions for crops (B, 3, H, W); key points in the codec's pixels."""
    category: Any = [crop.category for crop in crops]
    if base.task != "hand3d":
        heatmaps = predict_heatmaps(
            base, pixels.to(base.device), category=category, flip_test=how.flip_test, skeleton=how.skeleton
        )
        heatmaps = heatmaps.float().cpu()
        for watch in how.watches:
            watch(crops, heatmaps)
        points, scores = base.codec.decode(heatmaps)
        return Hands(points.numpy(), scores.numpy(), None)
    # as in training, where left hands are shown mirrored
    left = torch.full((len(pixels),), how.space.side == "left")
    with use_adapter(base, category=category):
        return look(
            base, pixels.flip(-1) if left.any() else pixels, torch.full_like(left, RIGHT, dtype=torch.long), left
        )


class HeatmapWatch:
    """Keeps the largest value over the key points of each crop's heatmaps, for drawing."""

    def __init__(self) -> None:
        self.of: dict[int, list[PoseHeatmap]] = {}
        """Index of a frame to its heatmaps, in the order of its boxes."""

    def __call__(self, crops: Sequence[Crop], heatmaps: torch.Tensor) -> None:
        """Notes the heatmaps of a batch."""
        for crop, maps in zip(crops, heatmaps, strict=True):
            kept = PoseHeatmap(maps.amax(0).numpy().copy(), crop.center, crop.scale)
            self.of.setdefault(crop.frame.index, []).append(kept)

    def take(self, index: int) -> list[PoseHeatmap]:
        """Returns the heatmaps of a frame, once."""
        return self.of.pop(index, [])
