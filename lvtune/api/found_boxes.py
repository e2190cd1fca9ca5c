"""Boxes for pictures without any: the adapter finds the animal itself where it was tuned on small boxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.predicting import predict
from lvtune.core.text import counted
from lvtune.data.pose_table import PoseTable
from lvtune.data.unlabelled import table_of_boxes
from lvtune.evaluation.metrics import SMALL_BOXES
from lvtune.prediction.watching import tuned_share

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.unlabelled import Boxes


def is_whole(table: PoseTable) -> np.ndarray:
    """Returns (N,) true where an instance is its whole picture."""
    size = np.stack([table.column("width"), table.column("height")], 1)
    return np.asarray((table.column("bbox")[:, 2:] >= size).all(1))


def with_found_boxes(table: PoseTable, base: Base, adapter: Any, device: str = "auto") -> PoseTable:
    """Returns the pictures with boxes that the adapter finds (``predict --find pose``), one for each whole picture.

    Nothing is done where the adapter was tuned on large boxes, or nobody knows on which: whole pictures fit it then.
    Boxes that the pictures came with stay as they are. A picture in which nothing is found is left out. If nothing is
    found in any picture, all are taken whole.

    Args:
        table: pictures without labels.
        base: that the adapter is for.
        adapter: that was tuned, with what its file says of it (``saved_with``).
        device: to compute on.
    """
    share = tuned_share(adapter)
    whole_rows = is_whole(table)
    if share is None or share >= SMALL_BOXES or not whole_rows.any():
        return table
    boxes: Boxes = {}
    for row in np.flatnonzero(~whole_rows).tolist():
        boxes.setdefault(table.image_path(row), []).append(table.column("bbox")[row].tolist())
    whole = sorted({table.image_path(row) for row in np.flatnonzero(whole_rows).tolist()} - set(boxes))
    found = predict([str(path) for path in whole], base=base, adapter=adapter, find="pose", flip_test=False,
                    device=device)  # fmt: skip
    for pose in found:
        boxes.setdefault(Path(pose.image), []).append([float(value) for value in pose.bbox])
    lost = [path for path in whole if path not in boxes]
    if not boxes:
        note = f"the adapter finds nothing in any of {counted(len(whole), 'picture')}: each is taken whole"
        return table.with_note(note)
    made = table_of_boxes(boxes, table.skeleton)
    made.notes = [*table.notes, f"the adapter found boxes of {counted(len(whole) - len(lost), 'picture')}: "
                  f"it was tuned on boxes of {100 * share:.0f} % of the picture"]  # fmt: skip
    if lost:
        made.notes.append(
            f"{counted(len(lost), 'picture')} left out: the adapter finds nothing in them (such as {lost[0].name})"
        )
    return made
