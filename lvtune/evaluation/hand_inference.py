"""Pictures of hands in, 3D joints out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from lvtune.data.crop import to_image
from lvtune.data.dataset import collate
from lvtune.data.hand_frame import place
from lvtune.evaluation.choosing import per_batch
from lvtune.evaluation.inference import split_dataset
from lvtune.patcher.attaching import use_adapter

if TYPE_CHECKING:
    from torch import Tensor

    from lvtune.bases.hand_pose import HandBase
    from lvtune.domains import Split


@dataclass(frozen=True)
class Hands:
    """Predictions for N hands, as the pictures show them: what was mirrored for the network is mirrored back."""

    keypoints: np.ndarray
    """(N, 21, 2) in picture pixels."""
    scores: np.ndarray
    """(N, 21) maxima of the heatmaps."""
    xyz: np.ndarray | None
    """(N, 21, 3) relative to the root, in lengths of the reference bone; None of bodies."""


def predict_hands(
    base: HandBase,
    split: Split,
    *,
    batch_size: int = 32,
    category: Any = "category",
    adapters: object = ...,
) -> Hands:
    """2D and 3D joints of every hand of a split.

    Args:
        base: with or without an adapter attached.
        split: of hands, as :meth:`lvtune.domains.Domain.open` gives.
        batch_size: pictures at a time.
        category: ``category`` reads each hand's own; another name is used for all; None: the mean sentence.
        adapters: as for :func:`lvtune.use_adapter`.
    """
    parts, asked_of = [], per_batch(category, split)
    for batch in DataLoader(split_dataset(base, split), batch_size=batch_size, collate_fn=collate):
        with use_adapter(base, adapters, category=asked_of(batch)):
            found = look(base, batch["pixel_values"], batch["side"], batch["mirrored"].bool())
        points = to_image(found.keypoints, batch["center"].numpy(), batch["scale2d"].numpy(), base.input_size)
        parts.append((points, found.scores, found.xyz))
    return Hands(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def look(base: HandBase, pixel_values: Tensor, side: Tensor, mirrored: Tensor) -> Hands:
    """Predictions for crops (B, 3, H, W), in the codec's measure (:func:`lvtune.data.crop.to_image` undoes it).

    Args:
        base: see :func:`predict_hands`.
        pixel_values: normalised.
        side: (B,) as the network sees them: 0 left, 1 right.
        mirrored: (B,) True where the crop is the mirror image of what the picture shows.
    """
    with torch.inference_mode():
        output = base.hands(pixel_values.to(base.device), side.to(base.device))
        points, scores = base.codec.decode(output.heatmaps.float().cpu())
    points, xyz, mirrored = points.numpy().copy(), output.xyz.float().cpu().numpy().copy(), mirrored.numpy()
    # pixel x of a mirrored picture is W - 1 - x, which is W - x in the codec's measure of W / (W - 1) pixels
    points[mirrored, :, 0] = base.input_size[1] - points[mirrored, :, 0]
    xyz[mirrored, :, 0] *= -1
    return Hands(points, scores.numpy(), xyz)


def absolute(hands: Hands, scale: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Joints in camera coordinates: scale (N,) mm, intrinsics (N, 3, 3) of the pictures -> (N, 21, 3) mm."""
    relative = hands.xyz * scale[:, None, None]
    tensors = (torch.from_numpy(np.asarray(part, np.float64)) for part in (relative, hands.keypoints, camera))
    return place(*tensors, torch.from_numpy(hands.scores)).numpy()
