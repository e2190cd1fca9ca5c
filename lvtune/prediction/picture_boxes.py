"""Finds the boxes of each picture for ``predict``: threshold, class, corners or sizes, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.registry import suggest
from lvtune.core.text import counted, plural
from lvtune.data.box_files import BoxFile, find_pictures, parse_boxes, read_box_file
from lvtune.data.boxes import decide_box_format, reaches_out, to_xywh
from lvtune.data.picture_headers import read_headers
from lvtune.data.skeletons import Skeleton
from lvtune.prediction.box_choice import ALL_CLASSES, WHOLE, BoxChoice

PERSON = "person"
_SHOWN = 3


@dataclass(frozen=True)
class PictureBoxes:
    """Boxes of some pictures."""

    of: Mapping[Path, np.ndarray | None]
    """Picture to (M, 4) x, y, width, height in pixels; None: the whole picture is one instance."""
    scores: Mapping[Path, np.ndarray] = field(default_factory=dict)
    """Picture to (M,) detector scores, 1 where the file gives none."""
    image_ids: Mapping[Path, int] = field(default_factory=dict)
    """Picture to its image id in a COCO file of boxes."""
    notes: tuple[str, ...] = ()
    """What was decided and left out, for the user."""
    empty: tuple[Path, ...] = ()
    """Pictures without a box."""

    def count(self, picture: Path) -> int:
        """Returns the number of instances in a picture."""
        boxes = self.of[picture]
        return 1 if boxes is None else len(boxes)


def read_boxes(
    boxes: Any,
    pictures: Sequence[Path],
    skeleton: Skeleton,
    *,
    roots: Mapping[Path, Path] | None = None,
    choice: BoxChoice | None = None,
    sizes: Callable[[Sequence[Path]], Mapping[Path, tuple[int, int] | DataError]] | None = None,
) -> PictureBoxes:
    """Finds the boxes of each picture.

    Args:
        boxes: None or ``whole``; a file that :func:`lvtune.data.box_files.read_box_file` reads; or such a dict.
        pictures: the files at hand.
        skeleton: of the pose that is predicted, which says whether persons are wanted.
        roots: picture to its path relative to the folder that was given.
        choice: which boxes are used.
        sizes: returns the width and height of pictures, or what is wrong with them; the boxes of a picture that is
            broken are kept as they are. None: from the pictures' headers, and a broken picture is an error.

    Raises:
        LvtuneError: a faulty file; no picture of it at hand; a class that it does not have.
    """
    if boxes is None or boxes == WHOLE:
        return PictureBoxes(dict.fromkeys(pictures))
    choice = choice or BoxChoice()
    file = read_box_file(Path(boxes)) if isinstance(boxes, str | Path) else parse_boxes(boxes)
    _check_known(file, pictures, roots or {})
    kept, notes = _select(file, choice, skeleton)
    places = find_pictures(kept, pictures, roots or {})
    with_boxes = [picture for picture, rows in places.items() if len(rows)]
    known = _sizes(with_boxes) if sizes is None else sizes(with_boxes)
    size_of = {picture: size for picture, size in known.items() if not isinstance(size, DataError)}
    whole = np.concatenate([np.tile(size_of[p], (len(places[p]), 1)) for p in size_of]) if size_of else np.zeros((0, 2))
    rows = np.concatenate([places[p] for p in size_of]) if size_of else np.zeros(0, int)
    _check_area(kept, rows)
    form, why = decide_box_format(kept.boxes[rows], whole, choice.box_format)
    if len(rows) and (choice.box_format == "auto" and form != "xywh"):
        notes.append(
            f"{counted(len(rows), 'box', 'boxes')} read as corners ({form}): {why}; "
            "--box-format xywh reads them as sizes"
        )
    of, scores, cut = _clipped(kept, places, size_of, form)
    empty = tuple(picture for picture in pictures if not len(scores[picture]))
    notes += cut
    if empty:
        notes.append(
            f"{len(empty)} of {counted(len(pictures), 'picture')} {plural(len(empty), 'has', 'have')} no box: "
            f"no pose ({_first(empty)})"
        )
    ids = {p: key for p, some in places.items() for key in [kept.pictures[i] for i in some[:1]] if isinstance(key, int)}
    return PictureBoxes(of, scores, ids, tuple(notes), empty)


def _clipped(
    file: BoxFile, places: Mapping[Path, np.ndarray], sizes: Mapping[Path, tuple[int, int]], form: str
) -> tuple[dict[Path, np.ndarray | None], dict[Path, np.ndarray], list[str]]:
    """Boxes and scores of each picture, clipped to it, and what to tell; a picture without a size clips nothing."""
    of: dict[Path, np.ndarray | None] = {}
    scores: dict[Path, np.ndarray] = {}
    outside = reaching = 0
    for picture, rows in places.items():
        size = np.array([sizes.get(picture, (np.inf, np.inf))], float)
        found = to_xywh(file.boxes[rows], form, size)
        solid = (found[:, 2:] > 0).all(1)
        outside += int((~solid).sum())
        reaching += int((solid & reaches_out(file.boxes[rows], form, size)).sum())
        of[picture], scores[picture] = found[solid], np.nan_to_num(file.scores[rows][solid], nan=1.0)
    notes = [
        f"{counted(outside, 'box lies outside its', 'boxes lie outside their')} picture: left out; "
        "check that the file is of these pictures"
    ]
    more = (
        f"{counted(reaching, 'box reaches beyond its', 'boxes reach beyond their')} picture: cut off at its edge; "
        "--box-format says how the boxes are written"
    )
    return of, scores, [*(notes * bool(outside)), *([more] * bool(reaching))]


def _check_known(file: BoxFile, pictures: Sequence[Path], roots: Mapping[Path, Path]) -> None:
    """Raises an error if the file has boxes, and none for any of the pictures."""
    known = find_pictures(file, pictures, roots)
    if len(file) and not any(len(rows) for rows in known.values()):
        shown = sorted({str(file.file_names.get(key, key) if isinstance(key, int) else key) for key in file.pictures})
        raise DataError(
            f"no boxes for {_first(pictures)} in {file.source} "
            f"(it names {counted(len(shown), 'picture')}, such as {shown[0]})",
            "boxes under the names of the pictures, or under image ids that are the pictures' names",
            "give the box file of these pictures, an annotation file with file_name, or --boxes whole",
        )


def _select(file: BoxFile, choice: BoxChoice, skeleton: Skeleton) -> tuple[BoxFile, list[str]]:
    """The boxes of the class wanted with a score that is high enough, and one sentence for each kind left out."""
    notes = []
    has_class = np.array([_is_wanted(file, i, choice, skeleton) for i in range(len(file))], bool)
    if choice.box_class not in (None, ALL_CLASSES) and len(file) and not has_class.any():
        known = sorted({name for name in file.classes if name})
        fix = suggest(str(choice.box_class), known, "give --class all") if known else "leave --class out"
        raise DataError(f"class '{choice.box_class}' in {file.source}", f"one of {', '.join(known) or 'none'}", fix)
    others = Counter(file.classes[i] or "no class" for i in np.flatnonzero(~has_class))
    if others:
        words = ", ".join(f"{name} {count}" for name, count in others.most_common(_SHOWN))
        notes.append(
            f"{counted(others.total(), 'box', 'boxes')} of other classes left out ({words}); --class all takes them"
        )
    is_low = has_class & (np.nan_to_num(file.scores, nan=1.0) < choice.threshold)
    if is_low.any():
        words = f"{counted(int(is_low.sum()), 'box', 'boxes')} with a score below {choice.threshold:g} left out"
        notes.append(f"{words}; --box-threshold 0 takes them")
    return file.select(has_class & ~is_low), notes


def _is_wanted(file: BoxFile, row: int, choice: BoxChoice, skeleton: Skeleton) -> bool:
    name, number = file.classes[row], file.class_ids[row]
    if choice.box_class == ALL_CLASSES or (choice.box_class is None and not is_of_people(skeleton)):
        return True
    if choice.box_class is None:
        # an id or a file without names says nothing against a person
        return name is None or name.lower() == PERSON or name.startswith("category ")
    return choice.box_class.lower() == (name or "").lower() or choice.box_class == str(number)


def is_of_people(skeleton: Skeleton) -> bool:
    """Returns True if the key points are those of a human body: it has wrists and ankles."""
    names = " ".join(skeleton.keypoints).lower()
    return "wrist" in names and "ankle" in names


def _check_area(file: BoxFile, rows: np.ndarray) -> None:
    """Raises an error for a box that has no area, whether its numbers are sizes or corners."""
    boxes = file.boxes[rows]
    flat = (boxes[:, 2:] <= 0).any(1) & (boxes[:, 2:] <= boxes[:, :2]).any(1)
    if flat.any():
        row = rows[np.flatnonzero(flat)[0]]
        raise DataError(
            f"box {file.boxes[row].tolist()} of {file.pictures[row]} in {file.source}",
            "[x, y, width, height] in pixels, width and height above 0", "correct or drop that box",
        )  # fmt: skip


def _sizes(pictures: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Width and height of each picture as it is shown, from its header.

    Raises:
        DataError: a picture that is missing or broken.
    """
    found: dict[Path, tuple[int, int]] = {}
    for picture, header in zip(pictures, read_headers(pictures), strict=True):
        if isinstance(header, DataError):
            raise header
        found[picture] = header.upright
    return found


def _first(pictures: Sequence[Path]) -> str:
    return ", ".join(picture.name for picture in pictures[:_SHOWN]) + (", ..." if len(pictures) > _SHOWN else "")
