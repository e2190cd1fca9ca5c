"""Options that do to frozen parts in training what the released VLPose code (commit f312a9f) does.

The released code keeps the frozen encoder's drop-path on, and lets the BatchNorm of the frozen head follow the batch.
By default frozen modules stay as they are. Both can be switched on to reproduce a published run. The statistics are
then the adapter's: the base's own buffers and flags are not written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.adapters.building import instead
from lvtune.adapters.trained_encoder import drop_rates, kept_branches, mlp_of
from lvtune.bases.base import Base, Block
from lvtune.bases.changes import Call, Change, ReplaceForward

PUBLISHED: dict[str, Any] = {
    "method_options": {"zero_init": False, "visual_prompt_lr_scale": 1.0, "sentence_dropout": 0.0},
    "language": {"encoder": "blip"},
    "train": {
        "epochs": 210.0,
        "batch_size": 512,
        "lr": 5e-4,
        "weight_decay": 0.1,
        "warmup_steps": 500,
        "schedule": "step",
        "clip": 1.0,
        "layer_decay": 0.8,
        "ema": 0.0,
        "augment": {
            "flip": 0.5,
            "half_body": 0.3,
            "shift": 0.16,
            "shift_p": 0.3,
            "scale": (0.5, 1.5),
            "rotate": 80.0,
            "rotate_p": 0.6,
            "color": 0.0,
        },
    },
    "evaluate": {"category": "own"},
}
"""Published settings (released configurations, commit f312a9f) as nested tables of a recipe. Frozen parts stay frozen:
what the released code does to them (drop-path, following statistics, decay of visual prompts) is not among them."""


class FollowingNorm(nn.Module):
    """Running statistics of a frozen BatchNorm that follow the batches in training; the weights are the base's."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name).detach().clone())

    def forward(self, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        """Normalises (B, C, h, w): in training by the batch's statistics, otherwise by those kept here."""
        if self.training:
            self.num_batches_tracked.add_(1)
        weight, bias = (value.to(self.running_mean.dtype) for value in (norm.weight, norm.bias))
        return F.batch_norm(
            x, self.running_mean, self.running_var, weight, bias, self.training, norm.momentum or 0.0, norm.eps
        )

    def change(self, norm: nn.BatchNorm2d) -> Change:
        """Returns the change that replaces the base's ``norm``."""
        return ReplaceForward(norm, instead(lambda x: self(norm, x)))


def norms_of_head(base: Base) -> list[nn.BatchNorm2d]:
    """Returns the BatchNorms of the base's head, first to last."""
    return [module for module in base.head.modules() if isinstance(module, nn.BatchNorm2d)]


def drop_path(
    blocks: Sequence[Block], rate: float, is_training: Callable[[], bool], trained: int = 0
) -> Iterator[Change]:
    """Yields stochastic depth (arXiv 1603.09382): in training, branches of blocks are left out at random, by picture.

    Args:
        blocks: first to last; the probability rises linearly from 0 at the first to ``rate`` at the last.
        rate: in the released configurations 0.1 for S, 0.3 for B, 0.5 for L and 0.55 for H.
        is_training: called at each call of a block.
        trained: number of blocks at the end of which the adapter has copies; these have a drop-path of their own
            (:func:`lvtune.adapters.trained_encoder.drop_branches`).
    """
    for block, probability in list(zip(blocks, drop_rates(len(blocks), rate), strict=True))[: len(blocks) - trained]:
        if probability:
            yield from _dropped(block, probability, is_training)


def _dropped(block: Block, probability: float, is_training: Callable[[], bool]) -> Iterator[Change]:
    now = threading.local()  # in windows (Swin) a branch cannot see how many pictures there are

    def layer(call: Call, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        now.pictures = x.shape[0]
        return call.original(x, *args, **kwargs)

    def branch(call: Call, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        out = call.original(x, *args, **kwargs)
        return kept_branches(out, now.pictures, probability) if is_training() else out

    yield ReplaceForward(block.layer, layer)
    yield ReplaceForward(block.out, branch)
    yield ReplaceForward(mlp_of(block), branch)
