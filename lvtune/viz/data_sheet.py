"""A sheet of annotated instances, so that a person sees mistakes at a glance: boxes, key points, mirror pairs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.files import write_atomically
from lvtune.data.image_header import PictureHeader
from lvtune.data.mixed import MixedTable
from lvtune.data.picture_headers import read_headers
from lvtune.data.pose_table import PoseTable
from lvtune.viz.overlay import contact_sheet, draw_pose

COUNT, COLUMNS = 24, 6
LEGEND = "left orange, right blue, middle green, box white"
_AROUND = 0.3  # of the box, on each side
_WHITE = (255, 255, 255)


def data_sheet(table: PoseTable | MixedTable, count: int = COUNT) -> np.ndarray:
    """Draws instances from all over a table.

    Args:
        table: with the annotated boxes.
        count: how many instances at most.

    Returns:
        (H, W, 3) RGB uint8. A picture that cannot be read is left out.

    Raises:
        DataError: no picture can be read.
    """
    drawn = [
        (cell, Path(table[row].image).name) for row in _chosen(table, count) if (cell := _cell(table, row)) is not None
    ]
    if not drawn:
        raise DataError(
            "no picture that can be drawn", "pictures that can be read", "see what is wrong with the pictures"
        )
    lines = [drawn[i : i + COLUMNS] for i in range(0, len(drawn), COLUMNS)]
    return contact_sheet([[cell for cell, _ in line] for line in lines], [[name for _, name in line] for line in lines])


def _chosen(table: PoseTable | MixedTable, count: int) -> list[int]:
    """Returns rows spread evenly over the table."""
    return np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int)).tolist()


def can_draw(table: PoseTable | MixedTable, count: int = COUNT) -> bool:
    """Returns True if one of the pictures that `data_sheet` draws can be read."""
    if getattr(table, "draw", None) is not None:
        return True
    headers = read_headers([table.image_path(row) for row in _chosen(table, count)])
    return any(isinstance(header, PictureHeader) for header in headers)


def _cell(table: PoseTable | MixedTable, row: int) -> np.ndarray | None:
    """Draws one instance with its surroundings; None where its picture cannot be read."""
    instance = table[row]
    try:
        picture = table.picture(row)
    except DataError:
        return None
    x, y, width, height = instance.bbox
    drawn = draw_pose(
        picture, _labelled(instance.keypoints), None, table.skeleton, bbox=tuple(float(v) for v in instance.bbox)
    )
    corners = np.array([x, y, x + width, y + height]).round().astype(int).tolist()
    line = max(1, round(max(width, height) / 150))
    cv2.rectangle(drawn, tuple(corners[:2]), tuple(corners[2:]), _WHITE, line)
    margin = _AROUND * max(width, height)
    low = np.clip([x - margin, y - margin], 0, None).astype(int)
    high = np.ceil([x + width + margin, y + height + margin]).astype(int)
    return drawn[low[1] : high[1], low[0] : high[0]]


def _labelled(points: np.ndarray) -> np.ndarray:
    """(K, 2) places; not a number where a point is not labelled, so that it is not drawn."""
    return np.where(points[:, 2:] > 0, points[:, :2], np.nan)


def write_sheet(table: PoseTable | MixedTable, path: Path, count: int = COUNT) -> None:
    """Writes `data_sheet` as a PNG.

    Raises:
        DataError: no picture can be read.
        LvtuneError: the file cannot be written.
    """
    picture = cv2.imencode(".png", cv2.cvtColor(data_sheet(table, count), cv2.COLOR_RGB2BGR))[1].tobytes()
    write_atomically(path, picture)
