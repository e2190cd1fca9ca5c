"""Loss functions of heatmaps."""

from __future__ import annotations

import torch


def keypoint_mse(pred: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Computes the mean over all elements of weight × squared error.

    The mean counts unseen key points too, as in mmpose 1.x `KeypointMSELoss(use_target_weight=True)`.

    Args:
        pred: (B, K, h, w).
        target: (B, K, h, w).
        weight: (B, K), 0 = not labelled.

    Returns:
        A scalar in float32 (or wider), 0 for an empty batch.
    """
    dtype = torch.promote_types(pred.dtype, torch.float32)
    error = (pred.to(dtype) - target.to(dtype)).square().sum((-2, -1))
    return (error * weight.to(dtype)).sum() / max(pred.numel(), 1)
