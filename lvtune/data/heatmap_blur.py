"""Gaussian blur of heatmaps, equal to OpenCV's to the last bit: of whole maps, and around their peaks alone.

A decoder needs a blurred map at seven pixels, and its highest value. Blurring a map costs far more than finding its
peak. So on the processor only a small square around the peak is blurred. A bound that is cheap to compute shows for
most maps that no pixel outside the square can be higher; the other maps are blurred as a whole. Both ways give the
same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 3
"""Half the width of the square that is blurred, without its middle. A single Gaussian is lower outside."""
SLACK = 1e-5
"""Of the bound, which is computed in another order than the blur: of the highest value, and of a map's energy."""
MAPS_AT_ONCE, SQUARES = 64, 2048
"""So many maps at once stay in the processor's cache; so many squares take little memory."""


@lru_cache(maxsize=8)
def taps(width: int) -> tuple[float, ...]:
    """Returns OpenCV's Gaussian for a kernel of ``width`` pixels when no sigma is given; float32."""
    return tuple(cv2.getGaussianKernel(width, 0, cv2.CV_32F)[:, 0].tolist())


def blur(maps: Tensor, width: int) -> Tensor:
    """Blurs (..., h, w), with zeros outside.

    The sums run in OpenCV's order (rows left to right, columns from the centre outwards in pairs, fused
    multiply-adds): where a peak is nearly flat, a Newton step magnifies the last bit of float32 to 1e-3 pixels on the
    golden maps.
    """
    reach = width // 2
    return _blurred(F.pad(maps, (reach,) * 4), width, rows=-2, columns=-1)


def _by_opencv(maps: Tensor, width: int) -> Tensor:
    """Blurs (N, h, w) on the processor, and returns (N, h w).

    OpenCV reads all maps as one image, with zeros around each. Zeros left and right keep a pixel at the place in
    OpenCV's vectors that it has where a map is blurred by itself.
    """
    reach, (number, h, w) = width // 2, maps.shape
    stacked = np.zeros((number, h + reach, w + 2 * reach), np.float32)
    stacked[:, :h, reach : reach + w] = maps.numpy()
    image = stacked.reshape(-1, w + 2 * reach)
    out = cv2.GaussianBlur(image, (width, width), 0, borderType=cv2.BORDER_CONSTANT)
    return torch.from_numpy(out.reshape(stacked.shape)[:, :h, reach : reach + w]).flatten(1)


def _blurred(padded: Tensor, width: int, rows: int, columns: int) -> Tensor:
    """Blurs along two dimensions, each of which gets shorter by ``width - 1``."""
    line, reach = taps(width), width // 2
    height, length = padded.shape[rows] - width + 1, padded.shape[columns] - width + 1
    across = padded.narrow(columns, 0, length) * line[0]
    for i in range(1, width):
        across = torch.add(across, padded.narrow(columns, i, length), alpha=line[i])  # rounded once
    out = across.narrow(rows, reach, height) * line[reach]
    for i in range(1, reach + 1):
        pair = across.narrow(rows, reach - i, height) + across.narrow(rows, reach + i, height)
        out = torch.add(out, pair, alpha=line[reach + i])
    return out


def blurred_around(maps: Tensor, peak: Tensor, moves: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Returns the blurred maps at pixels around their peaks, and their highest blurred values.

    Args:
        maps: (N, h, w), float32.
        peak: (N,) place of each map's maximum, y * w + x.
        moves: (M, 2) x, y from the peak, -1 to 1; pixels outside the map are those at its edge.
        width: of the Gaussian, odd.

    Returns:
        (M, N) and (N,).
    """
    if (
        maps.device.type != "cpu" or not maps.numel()
    ):  # elsewhere whole maps take no longer, and nothing waits for a bound
        return _of_whole_maps(maps, peak, moves, width)
    parts = [_of_squares(*part, moves, width) for part in zip(maps.split(SQUARES), peak.split(SQUARES), strict=True)]
    return torch.cat([values for values, _ in parts], 1), torch.cat([highest for _, highest in parts])


def _of_squares(maps: Tensor, peak: Tensor, moves: Tensor, width: int) -> tuple[Tensor, Tensor]:
    square = _Square.around(maps, peak, width)
    values, highest = square.at(moves), square.highest
    unsure = (~_is_highest(maps, square, highest)).nonzero()[:, 0]
    if len(unsure):
        values[:, unsure], highest[unsure] = _of_whole_maps(maps[unsure], peak[unsure], moves, width)
    return values, highest


def _of_whole_maps(maps: Tensor, peak: Tensor, moves: Tensor, width: int) -> tuple[Tensor, Tensor]:
    (h, w), is_here = maps.shape[1:], maps.device.type == "cpu" and len(maps) > 0
    x, y = peak % w + moves[:, :1], peak // w + moves[:, 1:]
    at, values, highest = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)).T, [], []
    for part, place in zip(*(t.split(MAPS_AT_ONCE if is_here else max(1, len(t))) for t in (maps, at)), strict=True):
        blurred = _by_opencv(part, width) if is_here else blur(part, width).flatten(1)
        values.append(blurred.gather(1, place))
        highest.append(blurred.amax(1))
    return torch.cat(values).T, torch.cat(highest)


@dataclass(frozen=True)
class _Square:
    """The pixels around the peaks of N maps; the maps are the last dimension, so that operations run along it."""

    width: int
    x: Tensor
    """(s, N) columns of the map."""
    y: Tensor
    """(s, N) rows."""
    inside_x: Tensor
    inside_y: Tensor
    """(s, N) 1.0 in the map, 0.0 outside."""
    values: Tensor
    """(s, s, N), 0 outside the map."""
    blurred: Tensor
    """(5, 5, N)"""
    size: tuple[int, int]
    """(h, w) of a map."""

    @classmethod
    def around(cls, maps: Tensor, peak: Tensor, width: int) -> _Square:
        number, h, w = maps.shape
        far = REACH + width // 2
        place, steps = peak.numpy(), np.arange(-far, far + 1)[:, None]
        x, y = place % w + steps, place // w + steps
        near_x, near_y = np.clip(x, 0, w - 1), np.clip(y, 0, h - 1)
        at = (near_y * w + np.arange(number) * (h * w))[:, None] + near_x
        values = np.take(maps.numpy().reshape(-1), at)
        inside_x, inside_y = (x == near_x).astype(np.float32), (y == near_y).astype(np.float32)
        values *= inside_x
        values *= inside_y[:, None]
        of_maps = torch.from_numpy(values)
        blurred = _blurred(of_maps, width, rows=0, columns=1)
        x, y, inside_x, inside_y = (torch.from_numpy(one) for one in (x, y, inside_x, inside_y))
        return cls(width, x, y, inside_x, inside_y, of_maps, blurred, (h, w))

    @property
    def middle(self) -> slice:
        """The rows, or columns, that are blurred."""
        return slice(self.width // 2, self.width // 2 + 2 * REACH + 1)

    @property
    def highest(self) -> Tensor:
        """(N,) The highest blurred value of the square, in the map."""
        far_x, far_y = (1 - 1 / inside[self.middle] for inside in (self.inside_x, self.inside_y))  # 0; minus infinity
        return ((self.blurred + far_x) + far_y[:, None]).amax((0, 1))

    def at(self, moves: Tensor) -> Tensor:
        """Returns (M, N) the blurred values at pixels around the peaks."""
        middle, (h, w) = REACH + self.width // 2, self.size
        x, y = self.x[middle], self.y[middle]
        x, y = (x + moves[:, :1]).clamp(0, w - 1) - x, (y + moves[:, 1:]).clamp(0, h - 1) - y
        return self.blurred.flatten(0, 1).gather(0, (y + REACH) * (2 * REACH + 1) + x + REACH)


def _is_highest(maps: Tensor, square: _Square, highest: Tensor) -> Tensor:
    """Returns (N,) True where no blurred pixel outside the square's middle can be above ``highest`` (N,).

    What the square's values give to a blurred pixel is at most the blur of the largest value of each row, and of each
    column. What the other values give is at most their norm times that of the blur (Cauchy-Schwarz).
    """
    whole = torch.linalg.vector_norm(maps.flatten(1), dim=1) ** 2
    inside = (square.values * square.values).sum((0, 1))
    others = ((whole - inside).clamp(min=0) + SLACK * whole).sqrt() * sum(tap**2 for tap in taps(square.width))
    beyond = _beyond(len(square.x), square.width)
    most = torch.zeros(())
    for dimension in (0, 1):
        most = torch.maximum(most, (beyond @ square.values.amax(dimension).clamp(min=0)).amax(0))
    return most + others < highest * (1 - SLACK)


@lru_cache(maxsize=8)
def _beyond(length: int, width: int) -> Tensor:
    """Returns (M, length): the blur of a line of ``length`` pixels at the M pixels that its middle does not have."""
    line, middle = torch.tensor(taps(width)), length // 2
    reach = width // 2 + 1  # one more, so that there is a pixel where the blur is as wide as a pixel
    at = torch.cat([torch.arange(-reach, middle - REACH), torch.arange(middle + REACH + 1, length + reach)])
    apart = torch.arange(length) - at[:, None] + width // 2
    return torch.where((apart >= 0) & (apart < width), line[apart.clamp(0, width - 1)], 0.0)
