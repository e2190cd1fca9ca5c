"""Draws the same few held-out frames at several moments of a run: predictions beside labels, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from lvtune.viz.overlay import contact_sheet, enlarge, keypoint_colour

CELL = 240
"""Longer side of each picture, in pixels."""
_MARGIN = 0.25  # around box and labels, as a share of their size
_RIM = (16, 16, 20)
_LABEL = (255, 255, 255)


@dataclass
class ProgressSheet:
    """A row of pictures for each moment; the frames, and the parts of them that are shown, stay the same.

    Args:
        images: (H, W, 3) RGB uint8 of each frame.
        labels: (K, 2) of each frame, NaN where a point is not labelled, in pixels.
        boxes: (4,) x, y, width, height of each frame's instance.
    """

    images: Sequence[np.ndarray]
    labels: Sequence[np.ndarray]
    boxes: Sequence[np.ndarray]
    rows: list[list[np.ndarray]] = field(default_factory=list)
    captions: list[list[str]] = field(default_factory=list)

    def add(self, title: str, predicted: Sequence[np.ndarray]) -> np.ndarray:
        """Adds the row of one moment; returns the sheet (H, W, 3) RGB uint8.

        Args:
            title: of the moment, such as ``step 30``.
            predicted: (K, 2) of each frame, in pixels.
        """
        frames = zip(self.images, self.labels, self.boxes, predicted, strict=True)
        self.rows.append([draw_beside_labels(*frame) for frame in frames])
        errors = [_mean_error(points, truth) for points, truth in zip(predicted, self.labels, strict=True)]
        words = ["no labels" if np.isnan(error) else f"{error:.1f} px" for error in errors]
        self.captions.append([f"{title}: {word}" for word in words])
        return contact_sheet(self.rows, self.captions, cell=CELL)


def _mean_error(predicted: np.ndarray, labels: np.ndarray) -> float:
    distance = np.linalg.norm(predicted - labels, axis=-1)
    known = distance[np.isfinite(distance)]
    return float(known.mean()) if len(known) else float("nan")


def draw_beside_labels(
    image: np.ndarray, labels: np.ndarray, box: np.ndarray, predicted: np.ndarray, longest: int = CELL
) -> np.ndarray:
    """Draws labels as white rings and predictions as dots, a line from one to the other, on the part with the instance.

    Args:
        image: (H, W, 3) RGB uint8; stays as it is.
        labels: (K, 2) in pixels, NaN where a point is not labelled.
        box: (4,) x, y, width, height in pixels.
        predicted: (K, 2) in pixels; a point outside the part that is shown lies at its edge.
        longest: length of the result's longer side in pixels.

    Returns:
        (h, w, 3) RGB uint8.
    """
    low, high = _part(image.shape, labels, box)
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    both = np.stack([labels - low, np.clip(predicted, low, high - 1) - low])
    canvas, (rings, dots) = enlarge(part, both, longest)
    if max(canvas.shape[:2]) > longest:  # enlarge never shrinks
        factor = longest / max(canvas.shape[:2])
        size = (max(1, round(canvas.shape[1] * factor)), max(1, round(canvas.shape[0] * factor)))
        canvas, rings, dots = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), rings * factor, dots * factor
    canvas = np.ascontiguousarray(canvas).copy()
    for index, (ring, dot) in enumerate(zip(rings, dots, strict=True)):
        if np.isfinite(ring).all() and np.isfinite(dot).all():
            cv2.line(canvas, _whole(ring), _whole(dot), _LABEL, 1, cv2.LINE_AA)
        if np.isfinite(ring).all():
            cv2.circle(canvas, _whole(ring), 5, _RIM, 4, cv2.LINE_AA)
            cv2.circle(canvas, _whole(ring), 5, _LABEL, 2, cv2.LINE_AA)
        if np.isfinite(dot).all():
            cv2.circle(canvas, _whole(dot), 4, _RIM, -1, cv2.LINE_AA)
            cv2.circle(canvas, _whole(dot), 3, keypoint_colour(index), -1, cv2.LINE_AA)
    return canvas


def _part(shape: tuple[int, ...], labels: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (x, y) of the part around box and labels, within the picture."""
    size = np.array(shape[1::-1], float)
    corners = np.array([box[:2], box[:2] + box[2:]], float)
    known = np.concatenate([corners, labels[np.isfinite(labels).all(1)]])
    low, high = known.min(0), known.max(0)
    margin = _MARGIN * (high - low)
    low = np.clip(np.floor(low - margin), 0, size - 1).astype(int)
    return low, np.clip(np.ceil(high + margin), low + 1, size).astype(int)


def _whole(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
