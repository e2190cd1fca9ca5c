"""Reads a COCO-style key point file into columns.

Every fault that stops the reading is an error that names it. A single value that cannot be is treated as missing, with
a note; see docs/own-data-fields.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import brief, counted
from lvtune.data.annotation_boxes import MARGIN
from lvtune.data.coco_boxes import BoxOptions, Persons, settle_boxes
from lvtune.data.coco_images import Looked, Picture, as_text, change_mark, index_pictures
from lvtune.data.coco_sections import annotated_count, match_names, posed_categories, sections
from lvtune.data.coco_values import Counted, finite, integer, read_area, read_box, read_count, read_crowd, read_points
from lvtune.data.skeletons import Skeleton

PERSON, IGNORED, ZERO_BOX, INVISIBLE, EMPTY_IMAGE = range(5)
_NOTES = {
    IGNORED: "are crowds, or have no key points: ignored",
    ZERO_BOX: "have a box of no size inside the image: skipped",
    INVISIBLE: "have no visible key point: skipped",
}


@dataclass(frozen=True)
class CocoOptions:
    """How a file is read."""

    skeleton: Skeleton | None = None
    """Key points wanted, found by name; None: the file's own."""
    field: str = "keypoints"
    """Field of the annotations with the key points."""
    required: bool = True
    """False also takes persons without a labelled key point."""
    box_format: str = "auto"
    """How annotated boxes are written: ``xywh``, ``xyxy``, or ``auto`` to decide."""
    box_margin: float = MARGIN
    """Around boxes that are made of key points."""
    missing_boxes: str = "points"
    """Boxes that are missing: ``points``, made of the key points; ``whole``, the whole picture."""
    published: bool = False
    """Read a benchmark's file exactly as its authors do: no value is judged, no box is changed."""


class _Row(NamedTuple):
    """One annotation with key points."""

    image: int
    number: int
    crowd: bool
    annotated: bool
    """It claims to have key points."""
    area: float
    label: str


class _Rows:
    """Gathers one row for each annotation with key points, and the boxes of the others."""

    def __init__(self, path: Path, pictures: Mapping[int, Picture], posed: Mapping[int, Any], how: CocoOptions) -> None:
        self.path, self.pictures, self.posed, self.how = path, pictures, posed, how
        self.counted = Counted()
        self.rows: list[_Row] = []
        self.boxes: list[np.ndarray] = []
        self.points: list[np.ndarray] = []
        self.rectangles: list[tuple[int, np.ndarray]] = []
        self.without_area = 0

    def add(self, item: dict[str, Any], order: list[int], count: int) -> None:
        where = f"annotation {item.get('id', '?')} in {self.path}"
        image = integer(item.get("image_id"), f"image_id of {where}")
        if image not in self.pictures:
            raise DataError(
                f"{where} of image {brief(item.get('image_id'))}, which is not among `images`",
                "an image_id that `images` has",
                "add the image or drop the annotation",
            )
        category = integer(item.get("category_id", next(iter(self.posed))), f"category_id of {where}")
        box = read_box(item.get("bbox"), where, self.counted if category in self.posed else None)
        if category not in self.posed:
            if np.isfinite(box).all() and not item.get("iscrowd"):
                self.rectangles.append((image, box))
            return
        points, has_points = np.zeros((count, 3)), bool(item.get(self.how.field))
        if has_points:
            values = item[self.how.field]
            points = read_points(values, count, where, self.counted, published=self.how.published)
        points = points[order]
        seen = int((points[:, 2] > 0).sum())
        crowd, area, number = self._judged(item, seen, where)
        # the name of the only category says nothing that the data set does not
        label = as_text(self.posed[category].get("name") or "") if len(self.posed) > 1 else ""
        own = integer(item.get("id", len(self.rows) + 1), f"id of an annotation in {self.path}")
        self.rows.append(_Row(image, own, crowd, has_points and bool(number), area, label))
        self.boxes.append(box)
        self.points.append(points)

    def _judged(self, item: dict[str, Any], seen: int, where: str) -> tuple[bool, float, int]:
        """``iscrowd``, ``area`` (not a number where it is missing) and ``num_keypoints``."""
        given = item.get(f"num_{self.how.field}", item.get("num_keypoints"))
        if item.get("area") is None:
            self.without_area += 1
        if not self.how.published:
            crowd, area = (
                read(item.get(n), where, self.counted) for n, read in (("iscrowd", read_crowd), ("area", read_area))
            )
            return bool(crowd), float(area), read_count(given, seen, where, self.counted)
        area = finite(item.get("area"))
        if item.get("area") is not None and (area is None or area < 0):
            raise DataError(f"`area` of {where}: {item['area']!r:.40}", "square pixels, 0 or more", "correct it")
        return bool(item.get("iscrowd")), np.nan if area is None else area, seen if given is None else given


def parse_coco(
    data: Any, path: Path, how: CocoOptions, looked: Looked | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns and meta of a COCO-style file; persons first, then ignored annotations, then empty images.

    Columns (n rows): kind, image_id, annotation_id, width, height, crowd, area, bbox (n, 4) xywh clipped to
    the image, keypoints (n, K, 3), image, original (the name in the file), tag (the image's `category`), label (name of
    the annotation's category where the file has several), description.

    Args:
        data: the parsed JSON.
        path: of the file, for messages.
        how: see `CocoOptions`.
        looked: what the pictures' files say; None trusts the annotations.

    Raises:
        DataError: any fault of the file.
    """
    images, annotations, categories = sections(data, path)
    pictures, notes = index_pictures(images, path, looked)
    posed, category = posed_categories(categories, path)
    count = annotated_count(annotations, how.field, path)
    if count is None and how.required:
        raise DataError(
            f"{path}, whose annotations have no `{how.field}`",
            f"`{how.field}` in the annotations",
            "use a key point annotation file (person_keypoints_*.json)",
        )
    skeleton, order, said = match_names(category, count, how.skeleton, path, how.field)
    notes += said
    gathered = _Rows(path, pictures, posed, how)
    for item in annotations:
        gathered.add(item, order, count or len(category["keypoints"]))
    persons = _persons(gathered, len(skeleton.keypoints))
    box_notes = settle_boxes(
        persons, path, BoxOptions(how.box_format, how.box_margin, how.missing_boxes), how.published
    )
    kinds = _kinds(persons, gathered, how.required)
    for kind, text in _NOTES.items():
        if kind in kinds:
            notes.append(f"{(kinds == kind).sum()} of {counted(len(kinds), 'annotation')} {text}")
    notes += gathered.counted.sentences() + box_notes
    if gathered.without_area:
        notes.append(f"{counted(gathered.without_area, 'annotation')} without `area`: the area of the box is taken")
    if PERSON not in kinds:
        raise DataError(
            f"{path} with no person to use ({'; '.join(notes) or 'no annotation of a person'})",
            "at least one person with a box and visible key points",
            "check the annotations",
        )
    columns = _columns(persons, gathered, kinds, pictures)
    meta = {
        "skeleton": skeleton.to_dict(),
        "notes": notes,
        "category_ids": list(posed),
        "category_names": {str(c.get("name")): i for i, c in posed.items()},
        "changed": change_mark(pictures, looked),
    }
    return columns, meta


def _persons(gathered: _Rows, count: int) -> Persons:
    """The gathered annotations as arrays."""
    pictures = gathered.pictures
    images = [row.image for row in gathered.rows]

    def sizes_of(numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
        scales = np.array([pictures[i].scale for i in numbers], float).reshape(-1, 2)
        sizes = np.array([(pictures[i].width, pictures[i].height) for i in numbers], float).reshape(-1, 2)
        return np.where(scales != 1, (sizes / scales).round(), sizes), scales

    sizes, scales = sizes_of(images)
    owners = [image for image, _ in gathered.rectangles]
    return Persons(
        boxes=np.array(gathered.boxes, float).reshape(-1, 4),
        points=np.array(gathered.points, float).reshape(-1, count, 3),
        areas=np.array([row.area for row in gathered.rows], float),
        images=np.array(images, np.int64),
        sizes=sizes,
        scales=scales,
        names=[f"annotation {row.number} of {pictures[row.image].name}" for row in gathered.rows],
        rectangles=np.array([box for _, box in gathered.rectangles], float).reshape(-1, 4),
        owners=np.array(owners, np.int64),
        rectangle_sizes=sizes_of(owners)[0],
    )


def _kinds(persons: Persons, gathered: _Rows, required: bool) -> np.ndarray:
    """(N,) what each annotation is."""
    crowd = np.array([row.crowd for row in gathered.rows], bool)
    annotated = np.array([row.annotated for row in gathered.rows], bool)
    seen = (persons.points[..., 2] > 0).any(1) if len(crowd) else crowd
    flat = (persons.boxes[:, 2:] <= 0).any(1)
    kinds = np.full(len(crowd), PERSON)
    if required:
        kinds[~seen] = INVISIBLE
    kinds[flat] = ZERO_BOX
    kinds[crowd | (required & ~annotated)] = IGNORED
    return kinds


def _columns(persons: Persons, gathered: _Rows, kinds: np.ndarray, pictures: Mapping[int, Picture]) -> dict[str, Any]:
    """The columns, sorted by kind; pictures without annotations come last."""
    order = np.argsort(kinds, kind="stable")
    rows = [gathered.rows[i] for i in order]
    used = {row.image for row in rows}
    empty = [number for number in pictures if number not in used]
    of = [pictures[row.image] for row in rows] + [pictures[number] for number in empty]
    extent = persons.boxes[:, 2:].prod(1)
    areas = np.where(np.isfinite(persons.areas), persons.areas, extent)

    def filled(values: np.ndarray, nothing: float) -> np.ndarray:
        return np.concatenate([values, np.full((len(empty), *values.shape[1:]), nothing, values.dtype)])

    return {
        "kind": filled(kinds[order].astype(np.int8), EMPTY_IMAGE),
        "image_id": np.array([picture.number for picture in of], np.int64),
        "annotation_id": filled(np.array([row.number for row in rows], np.int64), -1),
        "crowd": filled(np.array([row.crowd for row in rows], np.int8), 0),
        "area": filled(areas[order], 0),
        "bbox": filled(persons.boxes[order], 0),
        "keypoints": filled(persons.points[order], 0),
        "width": np.array([picture.width for picture in of], np.int64),
        "height": np.array([picture.height for picture in of], np.int64),
        "image": [picture.name for picture in of],
        "original": [picture.original for picture in of],
        "tag": [picture.category for picture in of],
        "label": [row.label for row in rows] + [""] * len(empty),
        "description": [picture.description for picture in of],
    }
