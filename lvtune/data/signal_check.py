"""Looks for training data that teach nothing: no labelled point in the crop, or impossible numbers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from lvtune.core.errors import DataError
from lvtune.data.crop import PADDING, Size, fix_aspect

_FAR = 1e6  # pixels
_SHOWN = 3


class Labelled(Protocol):
    """What is read of a table."""

    def __len__(self) -> int: ...
    def column(self, name: str) -> np.ndarray:
        """All values of ``bbox``, ``keypoints`` or ``image``."""
        ...


def check_signal(table: Labelled, input_size: Size) -> list[str]:
    """Checks that the labels can be learnt: finite numbers, boxes of at least a pixel, key points inside the crops.

    Args:
        table: what is tuned on.
        input_size: (h, w) of the network input.

    Returns:
        A sentence on samples that teach nothing, where they are a minority.

    Raises:
        DataError: impossible numbers, or samples of which most teach nothing; names the first ones.
    """
    boxes, points = np.asarray(table.column("bbox"), float), np.asarray(table.column("keypoints"), float)
    labelled = points[..., 2] > 0
    numbers = np.concatenate([boxes, np.where(labelled[..., None], points[..., :2], 0).reshape(len(boxes), -1)], 1)
    with np.errstate(invalid="ignore"):
        impossible = np.asarray(~(np.abs(numbers) < _FAR).all(1))
    if impossible.any():
        raise DataError(
            f"{impossible.sum()} of {len(boxes)} samples with boxes or key points that are no pixels of a picture: "
            f"{_first(table, impossible)}",
            f"finite numbers below {_FAR:g}", "correct these annotations",
        )  # fmt: skip
    small = np.asarray((boxes[:, 2:] < 1).any(1))
    empty = np.asarray(small | ~_seen(boxes, points, labelled, input_size))
    said = f"{empty.sum()} of {len(boxes)} samples without a labelled key point in their crop: {_first(table, empty)}"
    if empty.sum() * 2 > len(boxes):
        why = "boxes smaller than a pixel" if small.sum() * 2 > len(boxes) else "boxes around other places"
        raise DataError(
            f"{said} ({why})",
            "boxes that hold their key points, in pixels",
            "see `lvtune check-data`; correct the boxes",
        )
    return [f"{said}; they teach nothing"] if empty.any() else []


def _seen(boxes: np.ndarray, points: np.ndarray, labelled: np.ndarray, input_size: Size) -> np.ndarray:
    """(N,) whether a labelled key point lies in the crop around the box."""
    middle = boxes[:, None, :2] + boxes[:, None, 2:] / 2
    half = fix_aspect(boxes[:, 2:] * PADDING, input_size)[:, None] / 2
    return np.asarray(((np.abs(points[..., :2] - middle) <= half).all(-1) & labelled).any(1))


def _first(table: Labelled, which: np.ndarray) -> str:
    names = table.column("image")
    rows = np.flatnonzero(which)[:_SHOWN]
    return ", ".join(f"sample {row} ({names[row]})" for row in rows)
