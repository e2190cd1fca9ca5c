"""The second branch: layers that are trained beside the pose estimator for the contrast, and dropped afterwards.

Source: Lee et al., WACV 2023, section 3.3 and figure 2. The paper does not list the layers. Ours: ConvBlock is three
3x3 convolutions of stride 2 with BatchNorm and LeakyReLU (128, 256, 512 channels) and a global mean; ProjectionHead is
Linear-BatchNorm-ReLU-Linear.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn

from lvtune.training.loss_balance import LossBalance
from lvtune.training.objective_wrapper import Steps

HIDDEN, ENCODING, SLOPE = 512, 128, 0.01
WIDTHS = (128, 256, HIDDEN)


class ConvBlock(nn.Module):
    """Feature map (B, D, h, w) -> (B, 512)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise((width, *WIDTHS)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Convolutions, then the mean over the map."""
        return self.layers(features).mean((-2, -1))


class ProjectionHead(nn.Sequential):
    """(B, 512) -> (B, 128)."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(HIDDEN, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, ENCODING)
        )  # fmt: skip


class Branch1(Steps):
    """Encodes a feature map.

    Args:
        width: D of the feature map.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = ConvBlock(width)
        self.fc1 = nn.Linear(HIDDEN, HIDDEN)
        self.projection = ProjectionHead()

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) -> e1' (B, 128)."""
        return self.projection(self.fc1(self.convs(features)))


class Branch2(Steps):
    """Encodes a feature map alone, and together with a vector of a joint encoder.

    Args:
        width: D of the feature map.
        dim: of the vectors.
        combine: ``concat`` or ``sum`` of ConvBlock's output and the vector; for ``sum`` a matrix first brings the
            vector to 512 dimensions.
    """

    def __init__(self, width: int, dim: int, combine: Literal["concat", "sum"] = "concat") -> None:
        super().__init__()
        self.combine = combine
        self.convs = ConvBlock(width)
        self.fc1 = nn.Linear(HIDDEN, HIDDEN)
        self.fit = nn.Linear(dim, HIDDEN, bias=False) if combine == "sum" and dim != HIDDEN else nn.Identity()
        self.fc2 = nn.Linear(HIDDEN + dim if combine == "concat" else HIDDEN, HIDDEN)
        self.projection = ProjectionHead()
        self.balance = LossBalance()
        """Measures the pose loss and the contrast; it has no trained parameters."""

    def forward(self, features: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D, h, w) and (B, dim) -> e1' and e2', (B, 128) each."""
        seen = self.convs(features)
        vectors = self.fit(vectors.to(seen.dtype))
        both = torch.cat([seen, vectors], dim=1) if self.combine == "concat" else seen + vectors
        # one call each, so that BatchNorm never mixes the statistics of the two kinds
        return self.projection(self.fc1(seen)), self.projection(self.fc2(both))
