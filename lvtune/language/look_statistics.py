"""Describes the look of pictures by statistics of colour and texture; no network is needed.

The idea is that of texture statistics (Portilla & Simoncelli, A Parametric Texture Model, IJCV 2000): moments of the
colours and of filter responses at several scales, and how these responses go together. A look (lines on paper, flat
colours, a blur) is seen in them; which person stands where is not.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.language.joint_registry import resized

SIDES = (128, 96)
"""Height and width that pictures are brought to."""
SCALES = 4
_TINY = 1e-4
_LAGS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (0, 4), (4, 0))
_FILTERS = torch.tensor([
    [[0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]],
    [[0, -0.5, 0], [0, 0, 0], [0, 0.5, 0]],
    [[-0.5, 0, 0], [0, 0, 0], [0, 0, 0.5]],
    [[0, 0, -0.5], [0, 0, 0], [0.5, 0, 0]],
    [[0, -0.25, 0], [-0.25, 1, -0.25], [0, -0.25, 0]],
])  # fmt: skip
"""Differences in four directions, and the difference to the neighbours' mean."""
_BINOMIAL = torch.outer(*[torch.tensor([1.0, 4, 6, 4, 1]) / 16] * 2)


def look_statistics(images: Tensor) -> Tensor:
    """Returns statistics (B, STATISTICS) float32 of the look of pictures (B, 3, H, W), RGB from 0 to 1.

    Energies are logarithms, so that weak and strong textures are told apart alike.
    """
    images = resized(images.float(), SIDES)
    red, green, blue = images.unbind(1)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    first, second = red - green, (red + green) / 2 - blue
    found = [part for plane in (grey, first, second) for part in _moments(plane)]
    found += [_shares(grey, 12), *_colours(first, second)]
    return torch.cat([*found, *_textures(grey, SCALES, True), *_textures(first, 2), *_textures(second, 2)], dim=1)


def _moments(plane: Tensor) -> list[Tensor]:
    """Mean, deviation and skewness (B, 1) of planes (B, h, w)."""
    flat = plane.flatten(1)
    mean = flat.mean(1, keepdim=True)
    std = flat.std(1, keepdim=True) + _TINY**0.5
    return [mean, std, (((flat - mean) / std) ** 3).mean(1, keepdim=True).clamp(-5, 5)]


def _shares(plane: Tensor, count: int, most: float = 1.0) -> Tensor:
    """Returns the share (B, count) of pixels near each of ``count`` values from 0 to ``most``: a soft histogram."""
    place = plane.flatten(1).clamp(0, most) * ((count - 1) / most)
    below = place.long().clamp(max=count - 2)
    beyond = place - below
    found = place.new_zeros(len(place), count)
    found.scatter_add_(1, below, 1 - beyond).scatter_add_(1, below + 1, beyond)
    return found / place.shape[1]


def _colours(first: Tensor, second: Tensor) -> list[Tensor]:
    """Shares of pale to strong colours (B, 6), and how much there is of each of eight hues (B, 8)."""
    strength = (first**2 + second**2).sqrt()
    angles = torch.arange(8, device=first.device) * (torch.pi / 4)
    pairs = zip(angles.cos(), angles.sin(), strict=True)
    hues = [(first * along + second * across).clamp(min=0).mean((-2, -1)) for along, across in pairs]
    return [_shares(strength, 6), torch.stack(hues, dim=1)]


def _textures(plane: Tensor, scales: int, details: bool = False) -> list[Tensor]:
    """Statistics of filter responses of planes (B, h, w), at each of ``scales`` sizes."""
    found: list[Tensor] = []
    strengths: list[Tensor] = []
    plane = plane[:, None]
    filters, smooth = (value.to(plane.device) for value in (_FILTERS[:, None], _BINOMIAL[None, None]))
    for _ in range(scales):
        response = F.conv2d(F.pad(plane, (1, 1, 1, 1), mode="reflect"), filters)  # (B, 5, h, w)
        power = (response**2).mean((-2, -1)) + _TINY**2
        found.append(power.log() / 2)
        found.append(((((response**2) ** 2).mean((-2, -1)) + _TINY**4) / power**2).log())
        strength = (response[:, :2] ** 2).sum(1).sqrt()
        strengths.append(strength)
        if details:
            found += [_shares(strength, 6, most=0.5), _skew(response[:, 4])]
            found.append(_echo(response[:, 4]))
        plane = F.conv2d(F.pad(plane, (2, 2, 2, 2), mode="reflect"), smooth, stride=2)
    return [*found, *(_together(fine, coarse) for fine, coarse in itertools.pairwise(strengths))]


def _skew(plane: Tensor) -> Tensor:
    """Skewness (B, 1): thin dark lines and thin bright ones have opposite signs."""
    return _moments(plane)[2]


def _echo(plane: Tensor) -> Tensor:
    """Correlation (B, lags) of planes with themselves, shifted: rasters, pixels and hatching repeat."""
    centred = plane - plane.mean((-2, -1), keepdim=True)
    power = (centred**2).mean((-2, -1)) + _TINY**2
    return torch.stack([(centred * centred.roll(lag, (-2, -1))).mean((-2, -1)) / power for lag in _LAGS], dim=1)


def _together(fine: Tensor, coarse: Tensor) -> Tensor:
    """Correlation (B, 1) of the strength of edges at one scale and the next."""
    height, width = coarse.shape[-2:]
    fine = F.adaptive_avg_pool2d(fine[:, None], (height, width))[:, 0]
    both = [x - x.mean((-2, -1), keepdim=True) for x in (fine, coarse)]
    powers = [(x**2).mean((-2, -1)) + _TINY**2 for x in both]
    return ((both[0] * both[1]).mean((-2, -1)) / (powers[0] * powers[1]).sqrt())[:, None]


STATISTICS = look_statistics(torch.zeros(1, 3, *SIDES)).shape[1]
