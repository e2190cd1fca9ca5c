"""How far predicted key points lie from the labels, as a measure by which runs on new key points are judged.

The loss of heatmaps is no such measure where runs weigh the places near a key point differently, or where one answer
is sure and the other faint: a sharp peak beside the label costs more of it than an empty heatmap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lvtune.patcher.attaching import use_adapter

if TYPE_CHECKING:
    from lvtune.bases.base import Base

MEASURE = "mean error in % of the crop"
"""What :func:`point_error` gives, in words."""


@torch.no_grad()
def point_error(base: Base, batch: dict) -> Tensor:
    """Returns the mean error of the labelled key points of a batch, in percent of the crop's longer side, a scalar.

    Args:
        base: with heatmaps.
        batch: of :class:`lvtune.data.dataset.PoseDataset`; without a labelled key point the error is 0.
    """
    with use_adapter(base, category=batch["category"]):
        points, _ = base.codec.decode(base(batch["pixel_values"]).float())
    distance = torch.linalg.vector_norm(points - batch["keypoints"].to(points), dim=-1)  # (B, K)
    seen = batch["visible"].to(points) > 0
    return 100 * (distance * seen).sum() / seen.sum().clamp(min=1) / max(base.input_size)
