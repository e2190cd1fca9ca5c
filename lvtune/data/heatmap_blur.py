"""Gaussian blur of heatmaps, equal to OpenCV's to the last bit: of whole maps, and around their peaks alone.

A decoder needs a blurred map at seven pixels. Blurring a map costs far more than finding its peak. So on the processor
only the pixels that these seven are made of are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import as_strided
from torch import Tensor

MAPS_AT_ONCE, READ_AT_ONCE, SQUARES = 64, 256, 2048
"""So many maps at once stay in the processor's cache, blurred or read; so many squares take little memory."""


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


def peaks_and_squares(maps: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Finds peaks and reads the squares around them, of few maps at a time, which are in the processor's cache then.

    Args:
        maps: (N, h, w), float32, on the processor.
        width: of the Gaussian that the squares are for.

    Returns:
        place (N,) of each map's maximum, y * w + x; and squares (S, S, N) around them, S = width + 2, which are 0
        outside their map. The maps are the last dimension, so that operations run along it.
    """
    array = maps.contiguous().numpy()
    (number, h, w), far, side = array.shape, 1 + width // 2, width + 2
    values, line = array.reshape(number, -1), array.reshape(-1)
    last = line.size - (side - 1) * w - side  # where the last square begins that ends within the array
    starts = as_strided(line, (max(0, last) + 1, side, side), (4, 4 * w, 4), writeable=False)
    peak, squares = np.empty(number, np.int64), np.empty((side, side, number), np.float32)
    start = np.arange(number) * (h * w) - (far * w + far)  # of each square, once its peak is added
    for i in range(0, number, READ_AT_ONCE):
        part = slice(i, i + READ_AT_ONCE)
        peak[part] = values[part].argmax(1)
        start[part] += peak[part]
        if last >= 0:
            squares[..., part] = starts[start[part].clip(0, last)].transpose(1, 2, 0)
    y, x = np.divmod(peak, w)
    for i in np.flatnonzero((start < 0) | (start > last)):  # at the top of the first map, at the bottom of the last
        squares[..., i] = np.pad(array[i], far)[y[i] : y[i] + side, x[i] : x[i] + side]
    _clear_outside(squares, y, h)
    _clear_outside(squares.swapaxes(0, 1), x, w)
    return torch.from_numpy(peak), torch.from_numpy(squares)


def _clear_outside(squares: np.ndarray, place: np.ndarray, length: int) -> None:
    """Sets the rows of squares (S, S, N) to 0 that lie outside maps of ``length`` rows; the centres are in the map."""
    far = len(squares) // 2
    near = np.flatnonzero((place < far) | (place >= length - far))
    for away in range(1, far + 1) if len(near) else ():
        squares[far - away, :, near[place[near] < away]] = 0
        squares[far + away, :, near[place[near] >= length - away]] = 0


def blurred_near(
    squares: Tensor, peak: Tensor, moves: Sequence[tuple[int, int]], width: int, size: tuple[int, int]
) -> Tensor:
    """Returns (M, N), as :func:`blurred_at`, from the squares around the peaks; on the processor alone.

    Args:
        squares, peak: of :func:`peaks_and_squares`.
        moves, width: as for :func:`blurred_at`.
        size: (h, w) of the maps.
    """
    parts = [_blurred(part, width, rows=0, columns=1) for part in squares.split(SQUARES, -1)]
    blurred = (parts[0] if len(parts) == 1 else torch.cat(parts, -1)).numpy()  # 3 x 3 pixels
    y, x = np.divmod(peak.numpy(), size[1])
    for pixels, place, length in ((blurred, y, size[0]), (blurred.swapaxes(0, 1), x, size[1])):
        for outside, edge in ((0, 0), (2, length - 1)):
            at = np.flatnonzero(place == edge)
            if len(at):
                pixels[outside][:, at] = pixels[1][:, at]
    return torch.from_numpy(blurred.reshape(9, -1)[[3 * (y + 1) + x + 1 for x, y in moves]])


def _beside(peak: Tensor, moves: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Columns and rows (M, N) of pixels beside the peaks (N,), those at the edge in place of those outside."""
    return (peak % w + moves[:, :1]).clamp(0, w - 1), (peak // w + moves[:, 1:]).clamp(0, h - 1)
