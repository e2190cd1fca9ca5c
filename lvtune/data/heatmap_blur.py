"""Gaussian blur of heatmaps, equal to OpenCV's to the last bit: of whole maps, and around their peaks alone.

A decoder needs a blurred map at seven pixels. Blurring a map costs far more than finding its peak. So on the processor
only the pixels that these seven are made of are read.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

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


def blurred_at(maps: Tensor, peak: Tensor, moves: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Returns blurred maps at pixels around their peaks, and their highest blurred values; blurs whole maps.

    Args:
        maps: (N, h, w), float32.
        peak: (N,) place of each map's maximum, y * w + x.
        moves: (M, 2) x, y from the peak, -1 to 1; pixels outside the map are those at its edge.
        width: of the Gaussian, odd.

    Returns:
        (M, N) and (N,).
    """
    is_here = maps.device.type == "cpu" and len(maps) > 0
    x, y = _beside(peak, moves, *maps.shape[1:])
    at, values, highest = (y * maps.shape[2] + x).T, [], []
    for part, place in zip(*(t.split(MAPS_AT_ONCE if is_here else max(1, len(t))) for t in (maps, at)), strict=True):
        blurred = _by_opencv(part, width) if is_here else blur(part, width).flatten(1)
        values.append(blurred.gather(1, place))
        highest.append(blurred.amax(1))
    return torch.cat(values).T, torch.cat(highest)


def blurred_near(maps: Tensor, peak: Tensor, moves: Tensor, width: int) -> Tensor:
    """Returns (M, N), as :func:`blurred_at`, from small squares around the peaks; on the processor alone."""
    parts = zip(maps.split(SQUARES), peak.split(SQUARES), strict=True)
    return torch.cat([_of_squares(*part, moves, width) for part in parts], 1)


def _of_squares(maps: Tensor, peak: Tensor, moves: Tensor, width: int) -> Tensor:
    """The maps are the last dimension of all arrays, so that operations run along it."""
    number, h, w = maps.shape
    far = 1 + width // 2
    place, steps = peak.numpy(), np.arange(-far, far + 1)[:, None]
    x, y = place % w + steps, place // w + steps
    near_x, near_y = np.clip(x, 0, w - 1), np.clip(y, 0, h - 1)
    at = (near_y * w + np.arange(number) * (h * w))[:, None] + near_x
    values = np.take(maps.numpy().reshape(-1), at, mode="clip")  # all are inside; to check it takes longer
    edge = np.flatnonzero((x[0] < 0) | (x[-1] >= w) | (y[0] < 0) | (y[-1] >= h))
    if len(edge):
        outside = (x != near_x)[:, edge] | (y != near_y)[:, None, edge]
        values[..., edge] = np.where(outside, np.float32(0), values[..., edge])
    blurred = _blurred(torch.from_numpy(values), width, rows=0, columns=1).flatten(0, 1)  # 3 x 3 pixels
    x, y = _beside(peak, moves, h, w)
    return blurred.gather(0, (y - peak // w + 1) * 3 + x - peak % w + 1)


def _beside(peak: Tensor, moves: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Columns and rows (M, N) of pixels beside the peaks (N,), those at the edge in place of those outside."""
    return (peak % w + moves[:, :1]).clamp(0, w - 1), (peak // w + moves[:, 1:]).clamp(0, h - 1)
