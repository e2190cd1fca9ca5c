"""Settles the boxes and coordinates of a COCO-style file: form, unit, missing boxes, the scale of the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted, plural
from lvtune.data.annotation_boxes import (
    FORM_NAMES,
    MARGIN,
    are_relative,
    boxes_of_points,
    decide_form,
    extent_of,
    match_rectangles,
    points_outside,
    to_corners,
)

_FAR = 10.0  # picture sizes; a labelled point further away is no point of the picture

_LEAST_SIDE = 1.0  # pixels; a smaller box is no box
_USUAL_OUTSIDE = 0.02  # share of labelled key points outside their box that sound data have too (COCO: 1.7 %)


@dataclass
class Persons:
    """N annotations with key points; `settle_boxes` changes ``boxes``, ``points`` and ``areas`` in place."""

    boxes: np.ndarray
    """(N, 4) as written, not a number where there is none; x, y, width, height in the picture once settled."""
    points: np.ndarray
    """(N, K, 3)."""
    areas: np.ndarray
    """(N,) not a number where there is none."""
    images: np.ndarray
    """(N,) picture of each."""
    sizes: np.ndarray
    """(N, 2) width and height of each picture, as annotated where it is scaled later."""
    scales: np.ndarray
    """(N, 2) factors from annotated pixels to those of the picture."""
    names: list[str]
    """(N,) how each is called in messages."""
    rectangles: np.ndarray
    """(R, 4) boxes of annotations without key points."""
    owners: np.ndarray
    """(R,) picture of each rectangle."""
    rectangle_sizes: np.ndarray
    """(R, 2) width and height of each rectangle's picture."""


@dataclass(frozen=True)
class BoxOptions:
    """What the user says of annotated boxes."""

    form: str = "auto"
    """``xywh``, ``xyxy``, or ``auto`` to decide."""
    margin: float = MARGIN
    """Around boxes that are made of key points, as a share of their longer extent, on each side."""
    missing: str = "points"
    """What a missing box is made of: ``points`` or ``whole``."""


def settle_boxes(persons: Persons, path: Path, how: BoxOptions, published: bool) -> list[str]:
    """Makes every box x, y, width, height in pixels of its picture, and says how.

    Args:
        persons: changed in place.
        path: of the file, for messages.
        how: see `BoxOptions`.
        published: clip the boxes as written, and nothing else.

    Raises:
        DataError: a benchmark's file with an annotation without a box; coordinates far outside the pictures.
    """
    notes: list[str] = []
    if published:
        _require_boxes(persons, path)
    else:
        relative = are_relative(persons.boxes, persons.sizes)
        notes += _make_pixels(persons, relative)
        _refuse_far(persons, path)
        notes += _take_rectangles(persons)
        notes += _make_xywh(persons, how.form, relative)
        notes += _make_missing(persons, how, path)
        notes += _count_outside(persons)
    _scale_and_clip(persons)
    return notes


def _require_boxes(persons: Persons, path: Path) -> None:
    lacking = np.flatnonzero(~np.isfinite(persons.boxes).all(1))
    if len(lacking):
        raise DataError(
            f"{persons.names[lacking[0]]} in {path} without a `bbox` of 4 numbers",
            "x, y, width, height in pixels",
            "add the person's box",
        )


def _make_pixels(persons: Persons, relative: bool) -> list[str]:
    """Relative boxes and key points -> pixels."""
    notes = []
    if relative:
        boxes = persons.boxes[np.isfinite(persons.boxes).all(1)]
        persons.boxes = persons.boxes * np.tile(persons.sizes, 2)
        persons.rectangles = persons.rectangles * np.tile(persons.rectangle_sizes, 2)
        notes.append(
            f"{counted(len(boxes), 'box is', 'boxes are')} relative to the picture (0 to 1): "
            "scaled by its width and height"
        )
    labelled = persons.points[..., 2] > 0
    if labelled.any() and are_relative(persons.points[..., :2][labelled], persons.sizes):
        persons.points[..., :2] *= persons.sizes[:, None]
        notes.append(
            f"{counted(labelled.sum(), 'key point is', 'key points are')} relative to the picture (0 to 1): "
            "scaled by its width and height"
        )
    return notes


def _refuse_far(persons: Persons, path: Path) -> None:
    """Key points that are many picture sizes away teach nothing, and their squares are infinite."""
    reach = (1 + _FAR) * persons.sizes[:, None]
    far = ((np.abs(persons.points[..., :2]) > reach).any(-1) & (persons.points[..., 2] > 0)).any(1)
    if far.any():
        first = int(np.flatnonzero(far)[0])
        width, height = persons.sizes[first].astype(int)
        point = next(p for p in persons.points[first] if (np.abs(p[:2]) > reach[first]).any())
        raise DataError(
            f"{counted(far.sum(), 'annotation')} of {path} with key points far outside their picture, such as "
            f"x {point[0]:g}, y {point[1]:g} of {persons.names[first]} in a picture of {width}x{height}",
            "pixels of the picture",
            "correct these entries, or set the visibility of such points to 0",
        )


def _take_rectangles(persons: Persons) -> list[str]:
    """Boxes drawn beside the key points, for persons whose box is missing, flat, or just spans the key points."""
    if not len(persons.rectangles):
        return []
    low, high, count = extent_of(persons.points)
    flat = ~(persons.boxes[:, 2:] > 0).all(1)
    hull = np.concatenate([low, high - low], 1)
    with np.errstate(invalid="ignore"):
        spans = (np.abs(np.nan_to_num(persons.boxes, nan=np.inf) - hull) <= 1.0).all(1)
    wanting = (flat | spans) & (count > 0)
    if not flat.any() and wanting.sum() * 2 < (count > 0).sum():
        return []  # most boxes are drawn by hand: the few that span their points are so by chance
    rows = np.flatnonzero(wanting)
    found = match_rectangles(persons.points, rows, persons.images, persons.rectangles, persons.owners)
    taken = found >= 0
    persons.boxes[rows[taken]] = persons.rectangles[found[taken]]
    if not taken.any():
        return []
    return [
        f"{counted(taken.sum(), 'annotation takes', 'annotations take')} the rectangle that is drawn beside "
        f"{plural(taken.sum(), 'its key points as its', 'their key points as their')} box"
    ]


def _make_xywh(persons: Persons, box_format: str, relative: bool) -> list[str]:
    """Corners, or centres and sizes, -> x, y, width, height."""
    known = np.isfinite(persons.boxes).all(1)
    boxes, points, sizes = persons.boxes[known], persons.points[known], persons.sizes[known]
    if not known.any():
        return []
    if box_format == "auto":
        form, counts = decide_form(boxes, points, sizes, persons.areas[known], relative)
    else:
        form, counts = box_format, "as asked for"
    corners = to_corners(boxes, form)
    persons.boxes[known] = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    if form == "xywh" and box_format == "auto":
        return []
    return [f"annotated boxes read as {FORM_NAMES[form]}: {counts} (--annotated-box-format decides otherwise)"]


def _make_missing(persons: Persons, options: BoxOptions, path: Path) -> list[str]:
    """Boxes around the key points, where there is no box or one of no size in the picture."""
    start = np.clip(persons.boxes[:, :2], 0, persons.sizes)
    end = np.clip(persons.boxes[:, :2] + persons.boxes[:, 2:], 0, persons.sizes)
    count = (persons.points[..., 2] > 0).sum(1)
    missing = ~np.isfinite(persons.boxes).all(1) & (count > 0)
    extent = persons.boxes[:, 2:]
    small = np.asarray((extent > 0).all(1) & (extent < _LEAST_SIDE).any(1))
    if small.sum() * 2 > len(small):
        first = ", ".join(persons.names[i] for i in np.flatnonzero(small)[:3])
        raise DataError(
            f"{small.sum()} of {counted(len(small), 'box', 'boxes')} of {path} that are smaller than a pixel: {first}",
            "x, y, width, height in pixels", "correct the boxes, or drop `bbox`; they are then made of the key points",
        )  # fmt: skip
    flat = ~missing & ~((end - start) >= _LEAST_SIDE).all(1) & (count > 0)
    if options.missing == "whole":
        made = np.concatenate([np.zeros_like(persons.sizes), persons.sizes], 1)
        how = "the whole picture is taken (--missing-boxes)"
    else:
        made = boxes_of_points(persons.points, persons.sizes, options.margin)
        how = f"made of their key points with {options.margin:.0%} around (--box-margin)"
    persons.boxes[missing | flat] = made[missing | flat]
    persons.boxes = np.nan_to_num(persons.boxes)
    notes = []
    if missing.any():
        notes.append(f"{counted(missing.sum(), 'annotation')} without a box: {how}")
    if flat.any():
        notes.append(f"{counted(flat.sum(), 'annotation')} with a box of no size in the picture: {how}")
    return notes


def _count_outside(persons: Persons) -> list[str]:
    in_picture = ((persons.points[..., :2] >= 0) & (persons.points[..., :2] <= persons.sizes[:, None])).all(-1)
    outside = points_outside(to_corners(persons.boxes, "xywh"), persons.points) & in_picture
    labelled, rows = int((persons.points[..., 2] > 0).sum()), np.flatnonzero(outside.any(1))
    notes = _count_beyond(persons, labelled)
    if outside.sum() <= _USUAL_OUTSIDE * labelled:
        return notes
    return [
        *notes,
        f"{outside.sum()} of {counted(labelled, 'labelled key point')} "
        f"{plural(outside.sum(), 'lies outside its', 'lie outside their')} box, in {counted(len(rows), 'annotation')} "
        f"(such as {persons.names[rows[0]]})",
    ]


def _count_beyond(persons: Persons, labelled: int) -> list[str]:
    """Says how many labelled key points lie more than a pixel outside of their picture."""
    points, far = persons.points[..., :2], persons.sizes[:, None] + 1
    beyond = ((points < -1) | (points > far)).any(-1) & (persons.points[..., 2] > 0)
    rows = np.flatnonzero(beyond.any(1))
    if not len(rows):
        return []
    return [
        f"{beyond.sum()} of {counted(labelled, 'labelled key point')} {plural(beyond.sum(), 'lies', 'lie')} outside of "
        f"the picture, in {counted(len(rows), 'annotation')} (such as {persons.names[rows[0]]}): counted as "
        "labelled in scores, and in tuning where the crop holds it; delete such a label, or give it the visibility 0, "
        "to leave it out"
    ]


def _scale_and_clip(persons: Persons) -> None:
    """To the pixels of the pictures as they are; boxes are clipped to the picture."""
    scales = persons.scales
    if (scales != 1).any():
        persons.boxes = persons.boxes * np.tile(scales, 2)
        persons.points[..., :2] *= scales[:, None]
        persons.areas = persons.areas * scales.prod(1)
    sizes = np.where(scales != 1, (persons.sizes * scales).round(), persons.sizes)
    low = np.clip(persons.boxes[:, :2], 0, sizes)
    high = np.clip(persons.boxes[:, :2] + persons.boxes[:, 2:], 0, sizes)
    persons.boxes = np.concatenate([low, high - low], 1)
