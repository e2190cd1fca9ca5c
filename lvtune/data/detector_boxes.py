"""A detector's boxes in place of the annotated ones."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.box_files import BoxFile, find_pictures, read_box_file
from lvtune.data.boxes import decide_box_format, to_xywh
from lvtune.data.pose_table import PoseTable


def with_boxes(
    table: PoseTable,
    detections: str | os.PathLike[str],
    box_format: str = "auto",
    *,
    min_score: float = 0.0,
) -> PoseTable:
    """A detector's boxes in place of the annotated ones, in the pictures of ``table``.

    Args:
        table: gives the pictures and, for scoring, the annotations.
        detections: any file that :func:`lvtune.data.box_files.read_box_file` reads. Boxes of categories other than the
            annotated ones are passed over, if the file has boxes of the annotated ones.
        box_format: ``xywh``, ``xyxy``, or ``auto`` to decide from the boxes (see `decide_box_format`);
            what was decided stands in the result's ``box_format`` and ``notes``.
        min_score: boxes of a lower detector score are passed over.

    Raises:
        DataError: a fault of the file, no box in the table's pictures.
        UsageError: an unknown format.
    """
    path = Path(detections)
    file = _scored(read_box_file(path), path)
    file, notes = _of_categories(file, table)
    rows, places = _matched(file, table)
    kept = np.nan_to_num(file.scores[places], nan=1.0) >= min_score
    rows, places = rows[kept], places[kept]
    if not len(rows):
        raise _no_box(file, path, table)
    boxes, scores, size = file.boxes[places], file.scores[places], table.sizes_of(rows)
    decided, reason = decide_box_format(boxes, size, box_format)
    clipped = to_xywh(boxes, decided, size)
    solid = (clipped[:, 2:] > 0).all(1)
    notes.append(f"{counted(solid.sum(), 'detector box', 'detector boxes')} read as {decided}: {reason}")
    if not solid.all():
        notes.append(
            f"{counted((~solid).sum(), 'detector box', 'detector boxes')} without an area inside the image: skipped"
        )
    if np.isnan(scores).any():
        notes.append(
            f"{counted(np.isnan(scores).sum(), 'box', 'boxes')} without a score: taken as 1, "
            "so that AP does not rank them"
        )
    mark = json.dumps([table.fingerprint, hashlib.sha256(path.read_bytes()).hexdigest(), decided, min_score])
    return table.detected(
        rows[solid],
        clipped[solid],
        np.nan_to_num(scores[solid], nan=1.0),
        notes=notes,
        box_format=f"{decided} ({reason})",
        fingerprint=hashlib.sha256(mark.encode()).hexdigest(),
    )


def _no_box(file: BoxFile, path: Path, table: PoseTable) -> DataError:
    """The error for a file without a box in the pictures at hand."""
    allowed = table.image_ids
    given = f"{path} with no box of a person in the {counted(len(allowed), 'picture')} at hand"
    names = [key for key in file.pictures if isinstance(key, str)]
    if names:
        given = f"{path} with boxes of '{names[0]}', which is no picture at hand (or is malformed)"
    elif file.listed and not len(file):
        given = f"{path} without a box, which is not a list of detections"
    expected = f"image ids such as {allowed[0]} and category ids {table.category_ids}"
    return DataError(given, expected, "give the detections of this very data set")


def _scored(file: BoxFile, path: Path) -> BoxFile:
    """Refuses a list of detections that lacks a score: it was meant to have one."""
    without = np.flatnonzero(np.isnan(file.scores))
    if len(without) and not file.listed:
        raise DataError(
            f"detection {without[0]} of {path} without `score`", "image_id, bbox and score for each", "write it"
        )
    return file


def _of_categories(file: BoxFile, table: PoseTable) -> tuple[BoxFile, list[str]]:
    """The boxes of the annotated categories, and a note where others are left out or taken.

    Detectors number their classes in their own way: a file whose only class is none of the annotated ones is taken
    whole, if the class is the detector's first (0) or persons are not what is annotated.
    """
    wanted = [number is None or number in table.category_ids for number in file.class_ids]
    kinds = Counter(name or f"category {number}" for name, number in zip(file.classes, file.class_ids, strict=True))
    if not any(wanted) and len(kinds) == 1 and (set(file.class_ids) == {0} or "person" not in table.category_names):
        return file, [f"all detector boxes are of {next(iter(kinds))}, which is taken for the annotated category"]
    left = len(wanted) - sum(wanted)
    notes = (
        [f"{counted(left, 'detector box', 'detector boxes')} of other categories than the annotated ones: passed over"]
        if left
        else []
    )
    return file.select(np.array(wanted, bool)), notes


def _matched(file: BoxFile, table: PoseTable) -> tuple[np.ndarray, np.ndarray]:
    """(M,) a row of the picture of each box, and (M,) places of the boxes in the file, in its order.

    Boxes are matched by image id, or by file name where the file gives names.
    """
    by_name = bool(file.file_names) or any(isinstance(key, str) for key in file.pictures)
    row_of = table.row_of_image()
    if not by_name:
        pairs = [(row_of[key], place) for place, key in enumerate(file.pictures) if key in row_of]
    else:
        paths = {table.root / table.image_name(row): row for row in row_of.values()}
        roots = {path: Path(table.image_name(row)) for path, row in paths.items()}
        found = find_pictures(file, list(paths), roots)
        pairs = sorted(
            ((paths[path], int(place)) for path, some in found.items() for place in some), key=lambda p: p[1]
        )
    rows, places = (np.array([pair[i] for pair in pairs], np.int64) for i in (0, 1))
    return rows, places
