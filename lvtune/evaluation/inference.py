"""Predicts the key points of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lvtune.data.crop import to_image
from lvtune.data.dataset import PoseDataset
from lvtune.data.subset import Subset
from lvtune.evaluation.calibration import spread_of
from lvtune.evaluation.choosing import per_batch
from lvtune.evaluation.shared_batches import predict_batches
from lvtune.patcher.attaching import use_adapter

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split


def predict_heatmaps(
    base: Base,
    pixel_values: Tensor,
    *,
    flip_test: bool = True,
    category: str | Sequence[str] | None = None,
    adapters: object = ...,
    skeleton: Skeleton | None = None,
) -> Tensor:
    """Returns heatmaps (B, K, h, w) of pictures (B, 3, H, W), averaged with those of the mirrored pictures.

    The mirrored maps are mirrored back, and their left and right key points are swapped. They are not shifted: with the
    unbiased coordinates of UDP (Huang et al., CVPR 2020) no shift is needed.
    A skeleton without known mirror pairs (``skeleton.mirrors`` is False) is not mirrored, whatever ``flip_test`` says.
    """
    kind = skeleton or base.skeleton
    with torch.inference_mode(), use_adapter(base, adapters, category=category):
        heatmaps = base(pixel_values)
        if flip_test and kind.mirrors:
            index = torch.as_tensor(kind.flip_index, device=pixel_values.device)
            mirrored = base(pixel_values.flip(-1)).flip(-1)[:, index]
            heatmaps = (heatmaps + mirrored) / 2
    return heatmaps


def predict_split(
    base: Base,
    split: Split,
    *,
    batch_size: int = 32,
    flip_test: bool = True,
    category: Any = "category",
    adapters: object = ...,
    skeleton: Skeleton | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Predicts the key points of every instance of a split.

    Args:
        base: with or without an adapter attached.
        split: from :meth:`lvtune.domains.Domain.open`.
        batch_size: pictures at a time.
        flip_test: average with the mirrored picture.
        category: ``category`` reads each instance's own; another name is used for all; None: the mean sentence; or a
            function of the split, see :mod:`lvtune.evaluation.choosing`.
        adapters: as for :func:`lvtune.use_adapter`.
        skeleton: the key points predicted, where an adapter's differ from the base's.

    Returns:
        (N, K, 2) in picture pixels and (N, K) scores.
    """
    found = predict_evidence(
        base, split, batch_size=batch_size, flip_test=flip_test, category=category, adapters=adapters, skeleton=skeleton
    )
    return found.keypoints, found.scores


@dataclass(frozen=True)
class Evidence:
    """Predictions for N instances, and what their confidence follows from."""

    keypoints: np.ndarray
    """(N, K, 2) in picture pixels."""
    scores: np.ndarray
    """(N, K) maxima of the heatmaps."""
    spreads: np.ndarray
    """(N, K) of :func:`lvtune.evaluation.calibration.spread_of`."""
    heights: np.ndarray
    """(N,) of the crops, in picture pixels."""


def predict_evidence(
    base: Base,
    split: Split,
    *,
    batch_size: int = 32,
    flip_test: bool = True,
    category: Any = "category",
    adapters: object = ...,
    skeleton: Skeleton | None = None,
) -> Evidence:
    """Predicts as :func:`predict_split` does, and keeps what a calibration reads."""
    data = split_dataset(base, split)
    category_of = per_batch(category, split)

    def predict(batch: dict[str, Any]) -> tuple[np.ndarray, ...]:
        pixel_values = batch["pixel_values"].to(base.device)
        maps = predict_heatmaps(
            base, pixel_values, flip_test=flip_test, category=category_of(batch), adapters=adapters, skeleton=skeleton
        )
        maps = maps.float().cpu()
        keypoints, score = base.codec.decode(maps)
        points = to_image(keypoints.numpy(), batch["center"].numpy(), batch["scale"].numpy(), base.input_size)
        return points, score.numpy(), spread_of(maps).numpy(), batch["scale"][:, 1].numpy()

    return Evidence(*predict_batches(data, batch_size, predict))


def split_dataset(base: Base, split: Split, **options: Any) -> Any:
    """Returns a split as crops of the base's size; ``options`` as for :class:`lvtune.data.dataset.PoseDataset`."""
    options |= {"input_size": base.input_size, "mean": base.mean, "std": base.std}
    if split.samples is not None:
        return split.samples(split.table, **options)
    table: Any = split.table
    data = PoseDataset(table, render=split.render, views=split.views, **options)
    return data if split.items is None else Subset(data, split.items)
