"""Tells detector boxes written as corners from those written as sizes.

Human-Art's published detections hold corners (xyxy) where COCO's hold sizes (xywh), and nothing in the file
says so; read wrongly they cost half the AP.
"""

from __future__ import annotations

import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.core.registry import suggest

FORMATS = ("auto", "xywh", "xyxy")
_SLACK = 2.0  # pixels that a detector may overshoot the image's edge


def _fits(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns (N,) bool: the corners (N, 4) are in order and inside the image."""
    return np.asarray(
        (boxes[:, :2] >= -_SLACK).all(1)
        & (boxes[:, 2:] > boxes[:, :2]).all(1)
        & (boxes[:, 2:] <= sizes + _SLACK).all(1)
    )


def decide_box_format(boxes: np.ndarray, image_sizes: np.ndarray, box_format: str = "auto") -> tuple[str, str]:
    """Decides if boxes are ``xywh`` or ``xyxy``, and says why.

    Corners read as sizes leave the image; sizes read as corners are out of order. The reading under which
    more boxes lie inside their image is taken; COCO's own, xywh, when neither is better.

    Args:
        boxes: (N, 4) numbers of unknown meaning, pixels.
        image_sizes: (N, 2) width, height of each box's image.
        box_format: ``xywh`` or ``xyxy`` is taken without looking at the boxes; ``auto`` decides.

    Returns:
        (``"xywh"`` or ``"xyxy"``, a sentence with the counts).

    Raises:
        UsageError: unknown format.
        DataError: relative coordinates; boxes that fit under neither reading.
    """
    if box_format not in FORMATS:
        raise UsageError(
            f"box format '{box_format}'", f"one of {', '.join(FORMATS)}", suggest(box_format, list(FORMATS), "use auto")
        )
    if box_format != "auto":
        return box_format, "as asked for"
    boxes, sizes = np.asarray(boxes, float).reshape(-1, 4), np.asarray(image_sizes, float).reshape(-1, 2)
    if len(boxes) and boxes.max() <= 2:
        raise DataError(
            "boxes of numbers up to 2, as if relative to the image",
            "boxes in pixels",
            "multiply them by the image's width and height",
        )
    corners = int(_fits(boxes, sizes).sum())
    extents = int(_fits(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1), sizes).sum())
    total = len(boxes)
    if max(corners, extents) * 2 < total:
        raise DataError(
            f"boxes of which {extents} of {total} fit their image as xywh and {corners} as xyxy",
            "boxes in the pixels of the annotated images",
            "check that the detections are of these images, or name the format (--box-format)",
        )
    counts = f"{corners} of {total} boxes lie inside their image as corners, {extents} as x, y, width, height"
    if corners > extents:
        return "xyxy", counts
    return "xywh", counts + ("; read in COCO's format, since both fit" if corners == extents else "")


def to_xywh(boxes: np.ndarray, box_format: str, image_sizes: np.ndarray) -> np.ndarray:
    """Converts boxes (N, 4) of a known format to x, y, width, height, clipped to images (N, 2) of width, height."""
    low = boxes[:, :2]
    high = boxes[:, 2:] if box_format == "xyxy" else low + boxes[:, 2:]
    low, high = np.clip(low, 0, image_sizes), np.clip(high, 0, image_sizes)
    return np.concatenate([low, high - low], 1)


def reaches_out(boxes: np.ndarray, box_format: str, image_sizes: np.ndarray) -> np.ndarray:
    """Returns (N,) bool: a box (N, 4) of a known format leaves its image (N, 2) by more than a detector's slack."""
    low = boxes[:, :2]
    high = boxes[:, 2:] if box_format == "xyxy" else low + boxes[:, 2:]
    return np.asarray((low < -_SLACK).any(1) | (high > image_sizes + _SLACK).any(1))
