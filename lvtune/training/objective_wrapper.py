"""Base class of objectives that wrap the pose objective: they add a term, or change its input."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lvtune.core.errors import TrainingError
from lvtune.language.joint_registry import unnormalised
from lvtune.training.objective import OBJECTIVES, Objective, ObjectiveContext, objective_config

if TYPE_CHECKING:
    from lvtune.bases.base import Base


class ObjectiveWrapper(Objective):
    """Wraps the objective that ``config.pose`` names; None: the default of the base.

    Its config has the fields ``pose`` and ``pose_options``.
    """

    config: Any

    def prepare(self, context: ObjectiveContext) -> None:
        """Makes the wrapped objective and keeps the context."""
        name = self.config.pose or context.base.objective
        made = OBJECTIVES.get(name)(objective_config(name, self.config.pose_options))
        if isinstance(made, ObjectiveWrapper):
            raise TrainingError(f"objective {name} within another", "heatmap or hand", "leave --objective.pose out")
        made.prepare(context)
        self.pose, self.context, self.notes = made, context, (*type(self).notes, *made.notes)
        self.decisions = made.decisions

    def counts(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """Returns what the wrapped objective counts."""
        return self.pose.counts(batch) if hasattr(self.pose, "counts") else {}


class Steps(nn.Module):
    """Counts the steps of a run. Checkpoints keep the count, so a resumed run draws the same random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def next(self) -> int:
        """Returns the number of steps so far, and counts this one."""
        step = int(self.step)
        self.step += 1
        return step


def change_pictures(
    base: Base, batch: dict, seed: int, step: int, change: Callable[[int, Tensor, np.random.Generator], Tensor]
) -> Tensor:
    """Changes each picture of a batch by itself; the result depends on seed, step and item only.

    Args:
        base: its mean and standard deviation normalise the pictures.
        batch: of :class:`lvtune.data.dataset.PoseDataset`.
        seed: of the run.
        step: of the run.
        change: maps (index in the batch, picture (3, H, W) in 0 to 1 on the CPU, random generator) to a picture.
    """
    pixels, mean, std = batch["pixel_values"], base.mean, base.std
    images, items = unnormalised(pixels, mean, std).float().cpu(), batch["index"].tolist()
    rngs = (np.random.default_rng([seed, step, item]) for item in items)
    made = [change(place, *one) for place, one in enumerate(zip(images, rngs, strict=True))]
    stacked = torch.stack(made).to(pixels.device, pixels.dtype)
    return (stacked - pixels.new_tensor(mean).view(3, 1, 1)) / pixels.new_tensor(std).view(3, 1, 1)


def stray(batch: Mapping[str, Any], categories: list[str | None]) -> dict[str, Any]:
    """Returns the batch with other categories for the adapter to read; None means the mean sentence."""
    return {**batch, "category": categories}


@dataclass
class Seen:
    """Feature maps and heatmaps that a base computed."""

    features: list[Tensor] = field(default_factory=list)
    heatmaps: list[Tensor] = field(default_factory=list)

    def one(self) -> tuple[Tensor, Tensor]:
        """Returns the feature map (B, D, h', w') that entered the head, and the heatmaps (B, K, h, w).

        Raises:
            TrainingError: the base was called several times for one batch.
        """
        if len(self.features) != 1 or len(self.heatmaps) != 1:
            raise TrainingError(
                f"{len(self.heatmaps)} calls of the base for one batch", "an objective that calls it once",
                "choose --objective.pose heatmap or hand",
            )  # fmt: skip
        return self.features[0], self.heatmaps[0]


@contextlib.contextmanager
def watch(base: Base) -> Iterator[Seen]:
    """Records feature maps and heatmaps of the calls inside the block; removes its hooks afterwards."""
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
