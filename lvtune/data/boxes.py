"""Detector boxes: reading a COCO results file, and telling corners from sizes.

Human-Art's published detections hold corners (xyxy) where COCO's hold sizes (xywh), and nothing in the file
says so; read wrongly they cost half the AP.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lvtune.core.errors import DataError, LvtuneError
from lvtune.core.registry import suggest
from lvtune.data.box_files import read_box_file

FORMATS = ("auto", "xywh", "xyxy")
_SLACK = 2.0  # pixels that a detector may overshoot the image's edge


def _fits(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(N,) whether corners (N, 4) are in order and inside the image."""
    return (
        (boxes[:, :2] >= -_SLACK).all(1)
        & (boxes[:, 2:] > boxes[:, :2]).all(1)
        & (boxes[:, 2:] <= sizes + _SLACK).all(1)
    )


def decide_box_format(boxes: np.ndarray, image_sizes: np.ndarray, box_format: str = "auto") -> tuple[str, str]:
    """Whether boxes are ``xywh`` or ``xyxy``, and why.

    Corners read as sizes leave the image; sizes read as corners are out of order. The reading under which
    more boxes lie inside their image is taken; COCO's own, xywh, when neither is better.

    Args:
        boxes: (N, 4) numbers of unknown meaning, pixels.
        image_sizes: (N, 2) width, height of each box's image.
        box_format: a format named here is taken without a look.

    Returns:
        (``"xywh"`` or ``"xyxy"``, a sentence with the counts).

    Raises:
        LvtuneError: unknown format; relative coordinates; boxes that fit under neither reading.
    """
    if box_format not in FORMATS:
        raise LvtuneError(
            f"box format '{box_format}'", f"one of {', '.join(FORMATS)}", suggest(box_format, list(FORMATS), "use auto")
        )
    if box_format != "auto":
        return box_format, "as asked for"
    boxes, sizes = np.asarray(boxes, float).reshape(-1, 4), np.asarray(image_sizes, float).reshape(-1, 2)
    if len(boxes) and boxes.max() <= 2:
        raise LvtuneError(
            "boxes of numbers up to 2, as if relative to the image",
            "boxes in pixels",
            "multiply them by the image's width and height",
        )
    corners = int(_fits(boxes, sizes).sum())
    extents = int(_fits(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1), sizes).sum())
    total = len(boxes)
    if max(corners, extents) * 2 < total:
        raise LvtuneError(
            f"boxes of which {extents} of {total} fit their image as xywh and {corners} as xyxy",
            "boxes in the pixels of the annotated images",
            "check that the detections are of these images, or name the format (--box-format)",
        )
    counts = f"{corners} of {total} boxes lie inside their image as corners, {extents} as x, y, width, height"
    if corners > extents:
        return "xyxy", counts
    return "xywh", counts + ("; COCO's form where both fit" if corners == extents else "")


def to_xywh(boxes: np.ndarray, box_format: str, image_sizes: np.ndarray) -> np.ndarray:
    """(N, 4) boxes of a known format -> (N, 4) x, y, width, height clipped to images (N, 2) of w, h."""
    low = boxes[:, :2]
    high = boxes[:, 2:] if box_format == "xyxy" else low + boxes[:, 2:]
    low, high = np.clip(low, 0, image_sizes), np.clip(high, 0, image_sizes)
    return np.concatenate([low, high - low], 1)


def read_detections(path: Path, categories: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads a COCO results file: image ids (N,), boxes (N, 4) as they stand there, scores (N,).

    Args:
        path: a JSON list of image_id, bbox, score and, if there, category_id.
        categories: ids to keep; a detection without a category is kept.

    Raises:
        LvtuneError: no such file, not a list of detections, a field missing or not a number.
    """
    file = read_box_file(path)
    if file.listed or not all(isinstance(key, int) for key in file.pictures):
        raise DataError(
            f"{path}, which is not a list of detections with integer image ids or malformed",
            "a list of {image_id, bbox, score}",
            "give the detector's results file (not the annotations)",
        )
    without = np.flatnonzero(np.isnan(file.scores))
    if len(without):
        raise DataError(f"detection {without[0]} of {path} without `score`", "image_id, bbox and score for each",
                        "write it")  # fmt: skip
    kept = [categories is None or one is None or one in categories for one in file.class_ids]
    file = file.select(np.array(kept, bool))
    return np.array(file.pictures, np.int64), file.boxes, file.scores
