"""Crops a person's box to the network input by an affine map in UDP's convention.

Source: UDP (Huang et al., CVPR 2020, arXiv:1911.07524), as in mmpose 1.x `TopdownAffine(use_udp=True)`.
Points are (x, y) in pixels, sizes of pictures are (h, w), boxes are (x, y, width, height).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from lvtune.core.errors import DataError

Size = tuple[int, int]
PADDING = 1.25
_LARGEST_SIDE, _LARGEST_BYTES = 2**15 - 1, 2**31 - 1  # that cv2.warpAffine takes


def box_to_center_scale(
    bbox: np.ndarray,
    input_size: Size | None = None,
    padding: float = PADDING,
    image_size: Size | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns centre and size of the crop of each box.

    Args:
        bbox: (..., 4) boxes x, y, width, height in image pixels.
        input_size: (h, w) of the network input, whose aspect the crop takes; None keeps the box's own.
        padding: factor on the box.
        image_size: (h, w) of the image, to which the boxes are clipped first; None clips nothing.

    Returns:
        center (..., 2) and scale (..., 2), both (x, y) in image pixels, in the floating type of `bbox`.

    Raises:
        LvtuneError: a box that is not finite or has no area.
    """
    bbox = np.asarray(bbox)
    bbox = bbox if np.issubdtype(bbox.dtype, np.floating) else bbox.astype(np.float64)
    corner, size = bbox[..., :2], bbox[..., 2:]
    if image_size is not None:
        limit = np.array([image_size[1] - 1, image_size[0] - 1], dtype=bbox.dtype)
        far = np.clip(corner + size, 0, limit)
        corner = np.clip(corner, 0, limit)
        size = far - corner
    if not (np.isfinite(bbox).all() and (size > 0).all()):
        raise DataError(
            f"a box without area: {_first_bad(bbox, size)}",
            "x, y, width, height with a positive width and height, within the image",
            "drop the box, or give its format (--data.box-format xyxy) if these are corners",
        )
    center, scale = corner + size * 0.5, size * padding
    return center, scale if input_size is None else fix_aspect(scale, input_size)


def fix_aspect(scale: np.ndarray, input_size: Size) -> np.ndarray:
    """Grows the short side of `scale` (..., 2) to the aspect of `input_size` (h, w)."""
    ratio = input_size[1] / input_size[0]
    w, h = scale[..., 0], scale[..., 1]
    return np.stack([np.maximum(w, h * ratio), np.maximum(h, w / ratio)], axis=-1)


def udp_matrix(center: np.ndarray, scale: np.ndarray, rotation_deg: float, input_size: Size) -> np.ndarray:
    """Returns the affine map from image pixels to input pixels.

    UDP measures lengths between pixel centres: a crop of `scale` spans input_size − 1 intervals.

    Args:
        center: (2,) crop centre in image pixels.
        scale: (2,) crop width and height in image pixels.
        rotation_deg: rotation of the picture about the centre, clockwise as seen (y points down).
        input_size: (h, w).

    Returns:
        (2, 3) float32, computed in float32 as the reference does: the warp then gives the same pixels.
    """
    center, scale = np.asarray(center, dtype=np.float32), np.asarray(scale, dtype=np.float32)
    cos, sin = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    rotation = np.array([[cos, -sin], [sin, cos]], dtype=np.float32)
    factor = np.array([input_size[1] - 1, input_size[0] - 1], dtype=np.float32) / scale
    turned = rotation * center
    shift = 0.5 * scale - turned[:, 0] - turned[:, 1]
    return np.column_stack([rotation * factor[:, None], factor * shift])


def warp(image: np.ndarray, matrix: np.ndarray, input_size: Size) -> np.ndarray:
    """Crops `image` (H, W, 3) uint8 by `matrix` (2, 3) into (h, w, 3), bilinear, black outside the image."""
    if max(image.shape[:2]) >= _LARGEST_SIDE or image.nbytes >= _LARGEST_BYTES:
        image, matrix = _part_seen(image, matrix, input_size)
    return cv2.warpAffine(image, matrix, (int(input_size[1]), int(input_size[0])), flags=cv2.INTER_LINEAR)


def _part_seen(image: np.ndarray, matrix: np.ndarray, input_size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Returns the part of a huge picture that the crop shows, reduced if needed, and the matrix for it.

    OpenCV addresses pixels with 16-bit coordinates and 32-bit offsets: beyond them it fails or crashes.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    height, width = input_size
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], dtype=np.float64)
    seen = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    size = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(seen.min(0)) - 2, 0, size - 1).astype(int)
    high = np.clip(np.ceil(seen.max(0)) + 3, low + 1, size).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ low])
    factor = max(1, -(-max(part.shape[:2]) // (_LARGEST_SIDE // 2)))
    if factor > 1:
        rows, columns = (side // factor for side in part.shape[:2])
        whole = part[: rows * factor, : columns * factor]
        bands = [whole[y : y + 256 * factor] for y in range(0, rows * factor, 256 * factor)]
        part = np.concatenate(
            [cv2.resize(b, (columns, b.shape[0] // factor), interpolation=cv2.INTER_AREA) for b in bands]
        )
        # Pixel i of the small picture is the mean of f·i to f·i + f − 1: its centre is f·i + (f − 1) / 2.
        matrix = np.column_stack([matrix[:, :2] * factor, matrix[:, 2] + matrix[:, :2].sum(1) * (factor - 1) / 2])
    return np.ascontiguousarray(part), matrix


def to_input(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Maps points (..., 2) by an affine matrix (2, 3): image pixels to input pixels for a `udp_matrix`."""
    matrix = np.asarray(matrix)
    return points @ matrix[:, :2].T + matrix[:, 2]


def to_image(points: np.ndarray, center: np.ndarray, scale: np.ndarray, input_size: Size) -> np.ndarray:
    """Maps **decoded** key points back to image pixels, for crops without rotation.

    Divides by input_size, not by input_size − 1: `UDPHeatmap.decode` multiplies by input_size, so that the
    two cancel (the reference splits the map in the same place). For other points invert the `udp_matrix`.

    Args:
        points: (B, K, 2) from `UDPHeatmap.decode`, or (K, 2) for one person.
        center: (B, 2) or (2,) crop centre in image pixels.
        scale: (B, 2) or (2,) crop size in image pixels.
        input_size: (h, w).

    Returns:
        Points of the same shape in image pixels.
    """
    size = np.array([input_size[1], input_size[0]], dtype=np.float64)
    center, scale = np.asarray(center)[..., None, :], np.asarray(scale)[..., None, :]
    return np.asarray(points) / size * scale + (center - 0.5 * scale)


def _first_bad(bbox: np.ndarray, size: np.ndarray) -> Sequence[float]:
    bad = ~(np.isfinite(bbox).all(-1) & (size > 0).all(-1))
    return [round(float(v), 2) for v in bbox[bad].reshape(-1, 4)[0]]
