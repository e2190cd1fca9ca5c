"""Objectives that add to the objective of the pose, or change what it is computed on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lvtune.core.errors import LvtuneError
from lvtune.language.joint_registry import unnormalised
from lvtune.training.objective import OBJECTIVES, Objective, ObjectiveContext

if TYPE_CHECKING:
    from lvtune.bases.base import Base


class ObjectiveWrapper(Objective):
    """Wraps the objective that ``config.pose`` names; None: what suits the base.

    Its config has the fields ``pose`` and ``pose_options``.
    """

    config: Any

    def prepare(self, setting: ObjectiveContext) -> None:
        """Makes the wrapped objective, and remembers base and seed."""
        from lvtune.training.objective import objective_config

        name = self.config.pose or setting.base.objective
        made = OBJECTIVES.get(name)(objective_config(name, self.config.pose_options))
        if isinstance(made, ObjectiveWrapper):
            raise LvtuneError(f"objective {name} within another", "heatmap or hand", "leave --objective.pose out")
        made.prepare(setting)
        self.pose, self.setting, self.notes = made, setting, (*type(self).notes, *made.notes)


class Steps(nn.Module):
    """Counts the steps of a run; kept in checkpoints, so that a resumed run draws what an unbroken one would."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def next(self) -> int:
        """Steps so far; this one is then counted."""
        step = int(self.step)
        self.step += 1
        return step


def change_pictures(
    base: Base, batch: dict, seed: int, step: int, change: Callable[[int, Tensor, np.random.Generator], Tensor]
) -> Tensor:
    """``pixel_values`` of a batch, each picture changed by itself; a function of seed, step and item alone.

    Args:
        base: whose mean and deviation the pictures are normalised with.
        batch: of :class:`lvtune.data.dataset.PoseDataset`.
        seed: of the run.
        step: of the run.
        change: (place in the batch, picture (3, H, W) in 0 to 1 on the CPU, randomness of its own) -> the same.
    """
    pixels, mean, std = batch["pixel_values"], base.mean, base.std
    images, items = unnormalised(pixels, mean, std).float().cpu(), batch["index"].tolist()
    rngs = (np.random.default_rng([seed, step, item]) for item in items)
    made = [change(place, *one) for place, one in enumerate(zip(images, rngs, strict=True))]
    stacked = torch.stack(made).to(pixels.device, pixels.dtype)
    return (stacked - pixels.new_tensor(mean).view(3, 1, 1)) / pixels.new_tensor(std).view(3, 1, 1)


def stray(batch: Mapping[str, Any], categories: list[str | None]) -> dict[str, Any]:
    """The batch with other categories for the adapter to read; None is the mean of its sentences."""
    return {**batch, "category": categories}


@dataclass
class Seen:
    """What a base computed in one call."""

    features: list[Tensor] = field(default_factory=list)
    heatmaps: list[Tensor] = field(default_factory=list)

    def one(self) -> tuple[Tensor, Tensor]:
        """Feature map (B, D, h', w') that entered the head, and heatmaps (B, K, h, w).

        Raises:
            LvtuneError: the base was called several times, so that they do not belong to one batch.
        """
        if len(self.features) != 1 or len(self.heatmaps) != 1:
            raise LvtuneError(
                f"{len(self.heatmaps)} calls of the base for one batch", "an objective that calls it once",
                "choose --objective.pose heatmap or hand",
            )  # fmt: skip
        return self.features[0], self.heatmaps[0]


@contextlib.contextmanager
def watch(base: Base) -> Iterator[Seen]:
    """Notes feature map and heatmaps of the calls inside, with whatever adapter is on; takes its hooks off again."""
    seen = Seen()
    hooks = (
        base.head.register_forward_pre_hook(lambda module, args: seen.features.append(args[0])),
        base.model.register_forward_hook(lambda module, args, out: seen.heatmaps.append(base.heatmaps_of(out))),
    )
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
