"""``mixstyle``: mixes the feature statistics of the pictures in a batch; a baseline of domain generalisation.

Zhou et al., Domain Generalization with MixStyle, ICLR 2021, arXiv 2104.02008: for half of the batches, the mean and
standard deviation of each channel are mixed with those of another picture. The share comes from Beta(0.1, 0.1). It is a
light baseline, and not the causal method that Lee et al. (WACV 2023) compare with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lvtune.training.objective import register_objective
from lvtune.training.objective_wrapper import ObjectiveWrapper, Steps
from lvtune.training.style import Place, Style, change_at, mixed

if TYPE_CHECKING:
    from lvtune.bases.base import Base


@dataclass(frozen=True)
class MixStyleConfig:
    """Options of ``mixstyle``."""

    pose: str | None = None
    """Objective computed on the mixed features: heatmap, hand; None: what suits the base."""
    pose_options: dict[str, Any] = field(default_factory=dict)
    """Options of that objective."""
    p: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1})
    """Share of the batches that are mixed."""
    alpha: float = field(default=0.1, metadata={"above": 0})
    """Parameter of the Beta distribution that the shares are drawn from."""
    place: Place = "features"
    """Where: features, the map that enters the head (any base and method); blocks, after some blocks."""
    blocks: int = field(default=2, metadata={"at_least": 0})
    """After how many blocks of the encoder, with `place` blocks."""


@register_objective("mixstyle")
class MixStyle(ObjectiveWrapper):
    """Computes the pose loss on features with mixed statistics."""

    Config = MixStyleConfig
    compares = "partners whose styles are mixed"

    def __init__(self, config: MixStyleConfig | None = None) -> None:
        self.config = config or MixStyleConfig()
        self.trained = Steps()

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch, a scalar."""
        options, rng = self.config, np.random.default_rng([self.context.seed, self.trained.next()])
        count = len(batch["pixel_values"])
        partner = torch.from_numpy(rng.permutation(count))
        share = torch.from_numpy(rng.beta(options.alpha, options.alpha, count))
        if rng.random() >= options.p:
            return self.pose(base, batch)

        def change(x: Tensor, channels: int) -> Tensor:
            return mixed(Style.of(x.detach(), channels), partner.to(x.device), share.to(x.device)).put_on(x, channels)

        with change_at(base, options.place, options.blocks, change):
            return self.pose(base, batch)
