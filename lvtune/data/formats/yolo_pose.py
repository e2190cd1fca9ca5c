"""YOLO-pose: data.yaml with kpt_shape and a text file of rows for each picture, as Ultralytics and Roboflow write.

A row is: class, box centre x, y, width, height, then x, y or x, y, v of each key point; all but class and v are shares
of the picture's width and height. Facts of the format: Ultralytics' documentation, "Pose Estimation Datasets".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted, counted_kinds
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.formats.picture_finder import PictureFinder
from lvtune.data.formats.project_builder import Odd, ProjectBuilder
from lvtune.data.formats.project_yaml import load_yaml, peek_yaml
from lvtune.data.formats.tool_registry import FORMATS, LabelFormat
from lvtune.data.formats.yolo_folders import label_file, pictures_of_parts
from lvtune.data.skeletons import COCO_17

TOOL = "YOLO-pose"
_OUTSIDE = 1.01
"""Largest share that a box may reach; Ultralytics draws the line there too."""


@dataclass
class _Rows:
    """What the text files hold, and what was odd about it."""

    count: int
    width: int
    points: int = 0
    odd: Odd = field(default_factory=Counter)


def _entry(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix.lower() in (".yaml", ".yml") and "kpt_shape" in peek_yaml(path) else None
    files = [path / "data.yaml", *sorted(path.glob("*.yaml")), *sorted(path.glob("*.yml"))]
    return next((file for file in files if "kpt_shape" in peek_yaml(file)), None)


def _read(entry: Path, more: Sequence[Path] = ()) -> LabelProject:
    config = load_yaml(entry)
    count, width = _shape(config, entry)
    flip = _flip_index(config, count, entry)
    classes = _classes(config.get("names"))
    names, notes = _names(config, count, flip)
    parts, lacking = pictures_of_parts(config, entry)
    builder = ProjectBuilder(TOOL, entry.parent, names, PictureFinder([entry.parent, *more]))
    builder.notes += [*notes, *lacking]
    rows, empty, splits = _Rows(count, width), 0, {}
    for part, pictures in parts.items():
        places = []
        for picture in pictures:
            place = builder.picture(picture.name, path=picture, group=picture.parent.name)
            places.append(place)
            empty += not _add(builder, place, label_file(picture), rows, classes)
        splits[part] = places
    builder.expect_points(rows.points, entry)
    builder.notes += _odd_notes(rows, empty)
    pairs = [(i, other) for i, other in enumerate(flip) if i < other]
    if flip and not pairs:
        builder.notes.append("flip_idx pairs no key points: the names decide what is left and right")
    return builder.finish(flip_pairs=pairs or None, splits=splits if len(splits) > 1 else {})


def _shape(config: dict[str, Any], entry: Path) -> tuple[int, int]:
    shape = config["kpt_shape"]
    if (
        not isinstance(shape, list | tuple)
        or len(shape) != 2
        or not all(isinstance(number, int) for number in shape)
        or shape[0] < 1
        or shape[1] not in (2, 3)
    ):
        raise DataError(f"kpt_shape {shape} in {entry}", "kpt_shape: [K, 2] or [K, 3]", "correct it there")
    return shape[0], shape[1]


def _flip_index(config: dict[str, Any], count: int, entry: Path) -> list[int]:
    """The place of each key point's mirror image; [] where the file says none."""
    flip = config.get("flip_idx") or []
    good = isinstance(flip, list) and all(isinstance(i, int) and 0 <= i < count for i in flip)
    if flip and not (good and len(flip) == count and all(flip[flip[i]] == i for i in range(count))):
        raise DataError(
            f"flip_idx {str(flip)[:60]} in {entry}", f"{count} places from 0 that point back at each other",
            "correct it there, or leave it out",
        )  # fmt: skip
    return flip


def _classes(names: Any) -> dict[int, str]:
    if isinstance(names, dict):
        return {int(number): str(name) for number, name in names.items() if str(number).isdigit()}
    return {number: str(name) for number, name in enumerate(names or ())}


def _names(config: dict[str, Any], count: int, flip: Sequence[int]) -> tuple[list[str], list[str]]:
    """Names of the key points, and notes on how they were found."""
    for key in ("kpt_names", "keypoint_names", "keypoints"):
        given = config.get(key)
        kinds = list(given.values()) if isinstance(given, dict) else [given]
        names = kinds[0] if kinds else None
        if isinstance(names, list) and len(names) == count:
            if any(kind != names for kind in kinds):
                note = f"{key} differs between the classes: the names of the first class count"
                return [str(name) for name in names], [note]
            return [str(name) for name in names], []
    if count == len(COCO_17.keypoints) and list(flip) == list(COCO_17.flip_index):
        return list(COCO_17.keypoints), ["data.yaml names no key points; shape and flip_idx are COCO's: named as there"]
    return [str(place) for place in range(count)], [
        f"data.yaml names no key points: called 0 to {count - 1} (kpt_names there gives them names)"
    ]


def _add(builder: ProjectBuilder, place: int | None, labels: Path | None, rows: _Rows, classes: dict[int, str]) -> bool:
    """Adds the rows of a text file; returns False where there are none."""
    if place is None or labels is None or not labels.is_file():
        return False
    size = builder.size(place)
    found = False
    for number, line in enumerate(labels.read_text(encoding="utf-8-sig").splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        found = True
        values = _values(cells, f"line {number} of {labels}", rows)
        if values is None:
            continue
        box = np.array([*(values[1:3] - values[3:5] / 2), *values[3:5]]) * [*size, *size]
        points, seen = _points(values[5:].reshape(rows.count, rows.width), rows)
        rows.points += int((seen > 0).sum())
        kind = int(values[0])
        builder.add(place, points * size, seen, category=classes.get(kind, str(kind)), box=box.tolist())
    return found


def _values(cells: Sequence[str], where: str, rows: _Rows) -> np.ndarray | None:
    """The numbers of a row; None for the row of a detector's data, which has a box alone."""
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError:
        raise DataError(f"{where}: {' '.join(cells)[:60]}", "numbers", "correct it") from None
    if len(values) == 5:
        rows.odd["row", "without key points: left out"] += 1
        return None
    if len(values) != 5 + rows.count * rows.width:
        raise DataError(
            f"{where} with {counted(len(values), 'number')}",
            f"{5 + rows.count * rows.width}: class, box and {rows.count} key points of {rows.width} numbers",
            "correct kpt_shape in data.yaml, or the row",
        )
    if not np.isfinite(values).all() or (values[1:5] > _OUTSIDE).any() or (values[1:5] < 0).any():
        raise DataError(f"{where} with the box {' '.join(cells[1:5])}", "shares of the picture from 0 to 1",
                        "divide pixels by the picture's width and height")  # fmt: skip
    return values


def _points(cells: np.ndarray, rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
    """(K, 2 or 3) of a row -> (K, 2) shares and (K,) visibility."""
    points = cells[:, :2]
    if rows.width == 3:
        return points, np.where(cells[:, 2] >= 1.5, 2, np.where(cells[:, 2] > 0, 1, 0))
    nowhere = (points == 0).all(1)
    rows.odd["key point", "at 0 0 in rows without visibility: read as not labelled"] += int(nowhere.sum())
    return points, np.where(nowhere, 0, 2)


def _odd_notes(rows: _Rows, empty: int) -> list[str]:
    notes = counted_kinds(rows.odd)
    return notes + (
        [f"{counted(empty, 'picture has', 'pictures have')} no row, so no person or animal"] if empty else []
    )


FORMATS.register("yolo-pose")(LabelFormat(TOOL, "data.yaml with kpt_shape, folders images and labels", _entry, _read))
