"""Loss functions of heatmaps."""

from __future__ import annotations

import torch


def keypoint_mse(
    pred: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, *, foreground: float = 0.0
) -> torch.Tensor:
    """Computes the mean over all elements of weight × squared error.

    The mean counts unseen key points too, as in mmpose 1.x `KeypointMSELoss(use_target_weight=True)`.

    Args:
        pred: (B, K, h, w).
        target: (B, K, h, w).
        weight: (B, K), 0 = not labelled.
        foreground: added weight of the places near a key point: the squared error is multiplied by
            1 + foreground · target.

    Returns:
        A scalar in float32 (or wider), 0 for an empty batch.
    """
    dtype = torch.promote_types(pred.dtype, torch.float32)
    error = (pred.to(dtype) - target.to(dtype)).square()
    if foreground:
        error = error * (1 + foreground * target.to(dtype))
    error = error.sum((-2, -1))
    return (error * weight.to(dtype)).sum() / max(pred.numel(), 1)
