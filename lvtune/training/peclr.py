"""``peclr``: an equivariant contrast of two views of each picture, on source pictures only.

Spurr et al., PeCLR: Self-Supervised 3D Hand Pose Estimation from monocular RGB via Equivariant Contrastive Learning,
ICCV 2021: the encodings of two views must rotate and shift as the pictures do. NT-Xent with τ 0.5 compares projections
after rotation and shift are undone. Here it is added to the pose loss, with the same branch and weight as
``text-contrast``. Our reading: a projection is a list of points in the plane; a shift is a share of the picture's side
and of the range of the points; scale needs no undoing, because the cosines of NT-Xent ignore it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.training.augmentation import augment_batch
from lvtune.training.branch import Branch1
from lvtune.training.contrast import nt_xent
from lvtune.training.objective import register_objective
from lvtune.training.objective_wrapper import ObjectiveWrapper, watch

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.training.objective import ObjectiveContext


@dataclass(frozen=True)
class PeclrConfig:
    """Options of ``peclr``."""

    pose: str | None = None
    """Objective that the contrast is added to: heatmap, hand; None: what suits the base."""
    pose_options: dict[str, Any] = field(default_factory=dict)
    """Options of that objective."""
    weight: float = field(default=0.1, metadata={"at_least": 0})
    """Weight of the contrast."""
    temperature: float = field(default=0.5, metadata={"above": 0})
    """τ of NT-Xent."""
    rotate: float = field(default=45.0, metadata={"at_least": 0})
    """Largest rotation of the second view, in degrees."""
    shift: float = field(default=0.1, metadata={"at_least": 0})
    """Largest shift, as a share of the picture's sides."""
    scale: float = field(default=0.2, metadata={"at_least": 0, "at_most": 0.9})
    """Largest change of size."""


@register_objective("peclr")
class Peclr(ObjectiveWrapper):
    """Pose loss plus an equivariant contrast of two views."""

    Config = PeclrConfig
    compares = "negatives"

    def __init__(self, config: PeclrConfig | None = None) -> None:
        self.config = config or PeclrConfig()

    def prepare(self, context: ObjectiveContext) -> None:
        """Makes the branch."""
        super().prepare(context)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(context.seed)
            self.trained = Branch1(context.base.width).to(context.base.device)

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch, a scalar; it holds at least two samples."""
        options, step = self.config, self.trained.next()
        with watch(base) as seen:
            loss = self.pose(base, batch)
        features, _ = seen.one()
        turn, shift, size = drawn(batch["index"].tolist(), self.context.seed, step, options)
        changed = augment_batch(base, batch, self.context.seed, step)
        with watch(base) as seen:
            base(moved(changed, turn, shift, size))
        again, _ = seen.one()
        first, second = self.trained(features), self.trained(again)
        return loss + options.weight * nt_xent(first, moved_back(second, turn, shift), options.temperature)


def drawn(items: list[int], seed: int, step: int, options: PeclrConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Draws the second view: rotation (B,) in radians, shift (B, 2) as a share of the sides, scale (B,)."""
    rngs = [np.random.default_rng([seed, step, item, 1]) for item in items]
    numbers = torch.tensor(np.array([rng.uniform(-1, 1, 4) for rng in rngs]), dtype=torch.float32)
    return (
        math.radians(options.rotate) * numbers[:, 0],
        options.shift * numbers[:, 1:3],
        1 + options.scale * numbers[:, 3],
    )


def moved(pixels: Tensor, turn: Tensor, shift: Tensor, size: Tensor) -> Tensor:
    """Rotates pictures (B, 3, H, W) about their centre, scales and shifts them; the rest is grey."""
    height, width = pixels.shape[-2:]
    cos, sin = (turn.cos() / size, turn.sin() / size)
    # source position of each new pixel, in units of affine_grid: -1 to 1 along each side
    inverse = torch.stack([cos, sin * height / width, -sin * width / height, cos], -1).view(-1, 2, 2)
    offset = -(inverse @ (2 * shift)[..., None])
    grid = F.affine_grid(torch.cat([inverse, offset], -1).to(pixels), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, align_corners=False)


def moved_back(projections: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
    """Reads projections (B, E) as points in the plane, and undoes shift and rotation, (B, E)."""
    points = projections.float().unflatten(1, (-1, 2))
    reach = points.detach().abs().amax((1, 2), keepdim=True)
    points = points - 2 * shift.to(points)[:, None] * reach
    cos, sin = turn.cos().to(points), turn.sin().to(points)
    back = torch.stack([cos, sin, -sin, cos], -1).view(-1, 2, 2)
    return (points @ back.transpose(1, 2)).flatten(1)
