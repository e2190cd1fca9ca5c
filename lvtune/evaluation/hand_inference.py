"""Predicts the joints of hands, in the picture and in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lvtune.core.errors import UsageError
from lvtune.data.crop import to_image
from lvtune.data.hand_frame import place
from lvtune.evaluation.choosing import per_batch
from lvtune.evaluation.inference import split_dataset
from lvtune.evaluation.shared_batches import predict_batches
from lvtune.patcher.attaching import use_adapter

if TYPE_CHECKING:
    from torch import Tensor

    from lvtune.bases.hand_pose import HandBase
    from lvtune.domains import Split


@dataclass(frozen=True)
class Hands:
    """Predictions for N hands, as the pictures show them: hands mirrored for the network are mirrored back."""

    keypoints: np.ndarray
    """(N, 21, 2) in picture pixels."""
    scores: np.ndarray
    """(N, 21) maxima of the heatmaps."""
    xyz: np.ndarray | None
    """(N, 21, 3) relative to the root, in lengths of the reference bone; None for poses without depth."""
    spreads: np.ndarray | None = None
    """(N, K) of :func:`lvtune.evaluation.calibration.spread_of`; None where it is not needed."""


def predict_hands(
    base: HandBase,
    split: Split,
    *,
    batch_size: int = 32,
    category: Any = "category",
    adapters: object = ...,
) -> Hands:
    """Predicts 2D and 3D joints of every hand of a split.

    Args:
        base: with or without an adapter attached.
        split: of hands, from :meth:`lvtune.domains.Domain.open`.
        batch_size: pictures at a time.
        category: ``category`` reads each hand's own; another name is used for all; None: the mean sentence.
        adapters: as for :func:`lvtune.use_adapter`.
    """
    category_of = per_batch(category, split)

    def predict(batch: dict[str, Any]) -> tuple[np.ndarray, ...]:
        with use_adapter(base, adapters, category=category_of(batch)):
            found = look(base, batch["pixel_values"], batch["side"], batch["mirrored"].bool())
        points = to_image(found.keypoints, batch["center"].numpy(), batch["scale2d"].numpy(), base.input_size)
        assert found.xyz is not None  # of a base of hands
        return points, found.scores, found.xyz

    return Hands(*predict_batches(split_dataset(base, split), batch_size, predict))


def look(base: HandBase, pixel_values: Tensor, side: Tensor, mirrored: Tensor) -> Hands:
    """Predicts crops (B, 3, H, W); key points in the codec's pixels, which `lvtune.data.crop.to_image` maps back.

    Args:
        base: see :func:`predict_hands`.
        pixel_values: (B, 3, H, W), normalised.
        side: (B,) the side that the network sees: 0 left, 1 right.
        mirrored: (B,) True where the crop is the mirror image of the picture.
    """
    with torch.inference_mode():
        output = base.hands(pixel_values.to(base.device), side.to(base.device))
        points, scores = base.codec.decode(output.heatmaps.float().cpu())
    points, xyz, flipped = points.numpy().copy(), output.xyz.float().cpu().numpy().copy(), mirrored.numpy()
    # pixel x of a mirrored picture is W - 1 - x, which is W - x in the codec's unit of W / (W - 1) pixels
    points[flipped, :, 0] = base.input_size[1] - points[flipped, :, 0]
    xyz[flipped, :, 0] *= -1
    return Hands(points, scores.numpy(), xyz)


def absolute(hands: Hands, scale: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Returns joints in camera coordinates (N, 21, 3) in mm, from scale (N,) in mm and intrinsics (N, 3, 3).

    Raises:
        UsageError: the base predicted no joints in space.
    """
    if hands.xyz is None:
        raise UsageError("predictions without joints in space", "those of a base of hands", "choose --base hand3d-vit")
    relative = hands.xyz * scale[:, None, None]
    xyz, points, cameras = (torch.from_numpy(np.asarray(p, np.float64)) for p in (relative, hands.keypoints, camera))
    return place(xyz, points, cameras, torch.from_numpy(hands.scores)).numpy()
