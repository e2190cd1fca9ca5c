"""Reads box files: a detector's COCO results, a COCO annotation file, or a table from file name to boxes.

One reader for ``predict --boxes`` and ``evaluate --boxes``. It reads what stands in the file; whether the numbers are
corners or sizes is decided by :func:`lvtune.data.boxes.decide_box_format`, with the pictures at hand.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import brief
from lvtune.data.json_file import load_json

Key = int | str
"""A picture: COCO's image id, or the file name."""

_HOW = 'a COCO results or annotation file, or {"picture.jpg": [[x, y, width, height]]}'

# The 80 classes of COCO detection in the order of their ids (cocodataset.org); the ids from 1 to 90 have ten gaps.
_CLASSES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
_COCO_CLASSES = tuple(_CLASSES.split(","))
_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_COCO_IDS = dict(zip((i for i in range(1, 91) if i not in _GAPS), _COCO_CLASSES, strict=True))


@dataclass(frozen=True)
class BoxFile:
    """N boxes as they stand in a file."""

    source: str
    """Name of the file, for messages."""
    pictures: tuple[Key, ...]
    """The picture of each box."""
    boxes: np.ndarray
    """(N, 4) numbers, corners or sizes."""
    scores: np.ndarray
    """(N,) of the detector; NaN where the file gives none."""
    classes: tuple[str | None, ...]
    """Name of each box's class, or ``category 7`` for an id without a name; None where the file gives none."""
    class_ids: tuple[int | None, ...]
    file_names: Mapping[int, str] = field(default_factory=dict)
    """Image id to file name, of an annotation file."""
    listed: frozenset[str] = frozenset()
    """File names that the file lists, with or without boxes."""

    def __len__(self) -> int:
        return len(self.pictures)

    def select(self, keep: np.ndarray) -> BoxFile:
        """Returns the boxes at which ``keep`` (N,) is true."""
        rows = np.flatnonzero(keep)
        return BoxFile(
            self.source, tuple(self.pictures[i] for i in rows), self.boxes[rows], self.scores[rows],
            tuple(self.classes[i] for i in rows), tuple(self.class_ids[i] for i in rows), self.file_names, self.listed,
        )  # fmt: skip


def read_box_file(path: Path) -> BoxFile:
    """Reads a box file of any of the three forms; a byte order mark is allowed.

    Raises:
        LvtuneError: no such file, not JSON, or an entry that is not a box.
    """
    return parse_boxes(load_json(path, "detections file"), str(path))


def parse_boxes(values: Any, source: str = "boxes") -> BoxFile:
    """Returns the boxes of a parsed file, or of a dict that a caller made.

    Args:
        values: a list of {image_id, bbox, score, category_id}; a dict with ``images`` and ``annotations``; or a dict
            from file name to boxes (x, y, width, height).
        source: name for messages.

    Raises:
        LvtuneError: another form, or an entry that is not a box.
    """
    if isinstance(values, Mapping) and {"images", "annotations"} <= set(values):
        return _of_annotations(values, source)
    if isinstance(values, Mapping):
        return _of_table(values, source)
    if isinstance(values, list) and all(isinstance(item, Mapping) for item in values):
        return _of_results(values, source, {}, {})
    raise DataError(f"{source}, which is not a list of detections", _HOW, "give the detector's results file")


def _of_results(
    rows: Sequence[Mapping[str, Any]], source: str, file_names: Mapping[int, str], class_names: Mapping[int, str]
) -> BoxFile:
    for number, row in enumerate(rows):
        lacking = [name for name in ("image_id", "bbox") if name not in row]
        if lacking:
            raise DataError(
                f"detection {number} of {source} without `{lacking[0]}`",
                "image_id, bbox and score for each",
                "write it",
            )
    boxes = _numbers([row["bbox"] for row in rows], source)
    scores = _scores([row.get("score") for row in rows], source)
    ids = [_class_id(row.get("category_id"), source) for row in rows]
    names: Mapping[Any, str] = class_names or _names_of_ids(ids)
    classes = tuple(None if i is None else names.get(i, f"category {i}") for i in ids)
    pictures = tuple(_key(row["image_id"], source) for row in rows)
    class_ids = tuple(i if isinstance(i, int) else None for i in ids)
    return BoxFile(source, pictures, boxes, scores, classes, class_ids, file_names, frozenset(file_names.values()))


def _of_annotations(values: Mapping[str, Any], source: str) -> BoxFile:
    try:
        names = {int(image["id"]): str(image["file_name"]) for image in values["images"]}
        classes = {int(one["id"]): str(one["name"]) for one in values.get("categories") or []}
        rows = [row for row in values["annotations"] if not row.get("iscrowd") and row.get("bbox")]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{source} with images or annotations that cannot be read ({type(error).__name__}: {error})",
            "images with id and file_name, annotations with image_id and bbox", "correct the file",
        ) from error  # fmt: skip
    return _of_results(rows, source, names, classes)


def _of_table(values: Mapping[str, Any], source: str) -> BoxFile:
    pictures: list[Key] = []
    rows: list[Any] = []
    for name, found in values.items():
        listed = _rows(found)
        if listed is None:
            raise DataError(
                f"boxes {str(found)[:80]} for {name} in {source}, which is not a list of detections",
                "a list of [x, y, width, height] in pixels", f"give {_HOW}",
            )  # fmt: skip
        rows += listed
        pictures += [unicodedata.normalize("NFC", str(name))] * len(listed)
    boxes = _numbers(rows, source)
    return BoxFile(
        source, tuple(pictures), boxes, np.full(len(rows), np.nan), (None,) * len(rows), (None,) * len(rows),
        listed=frozenset(map(str, values)),
    )  # fmt: skip


def _rows(found: Any) -> list[Any] | None:
    """The boxes of one picture: a list of boxes, or one box; None where it is neither."""
    found = found.tolist() if isinstance(found, np.ndarray) else found
    if not isinstance(found, list | tuple):
        return None
    if len(found) == 4 and all(isinstance(value, int | float) for value in found):
        return [found]
    return list(found)


def _numbers(rows: Sequence[Any], source: str) -> np.ndarray:
    try:
        boxes = np.array(rows, float).reshape(len(rows), 4)
        if not np.isfinite(boxes).all():
            raise ValueError("a number that is not finite")
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{source} with a malformed detection ({error})", "four finite numbers as bbox", "correct it"
        ) from None
    return boxes


def _scores(values: Sequence[Any], source: str) -> np.ndarray:
    try:
        return np.array([np.nan if value is None else float(value) for value in values])
    except (TypeError, ValueError) as error:
        raise DataError(f"{source} with a malformed detection ({error})", "a number as score", "correct it") from None


def _class_id(value: Any, source: str) -> int | str | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        what = f"{source} with a malformed detection (category_id {brief(value)})"
        raise DataError(what, "an integer, or none", "correct it")
    return value


def _key(value: Any, source: str) -> Key:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(
            f"{source} with a malformed detection (image_id {brief(value)})", "an integer or a file name", "correct it"
        )
    return value if isinstance(value, int) else unicodedata.normalize("NFC", value)


def _names_of_ids(ids: Sequence[Any]) -> Mapping[int, str]:
    """COCO's names; an id of 0 shows that the 80 classes are counted from 0 without gaps, as YOLO does."""
    return dict(enumerate(_COCO_CLASSES)) if 0 in ids else _COCO_IDS


def find_pictures(file: BoxFile, pictures: Sequence[Path], roots: Mapping[Path, Path]) -> dict[Path, np.ndarray]:
    """Returns for each picture the places of its boxes in the file.

    A picture is found by its path, by as many of the last parts of it as the file gives, with or without the suffix, or
    by an image id that equals its name.

    Args:
        file: the boxes.
        pictures: the files at hand.
        roots: picture to its path relative to the folder that was given.

    Raises:
        LvtuneError: one name in the file fits several pictures.
    """
    places: dict[Key, list[int]] = {}
    for row, key in enumerate(file.pictures):
        name = file.file_names.get(key, key) if isinstance(key, int) else key
        places.setdefault(_parts(name) if isinstance(name, str) else name, []).append(row)  # type: ignore[arg-type]
    found: dict[Path, np.ndarray] = {}
    taken: dict[Any, Path] = {}
    for picture in pictures:
        keys = _keys_of(picture, roots.get(picture, picture))
        key = next((key for key in keys if key in places), None)
        if key is not None and key in taken:
            word = "/".join(key) if isinstance(key, tuple) else str(key)
            raise DataError(
                f"'{word}' in {file.source}, which fits {taken[key]} and {picture}", "names that fit one picture each",
                "write the folder into the names too, such as first/000.png",
            )  # fmt: skip
        if key is not None:
            taken[key] = picture
        found[picture] = np.array(places.get(key, []) if key is not None else [], dtype=int)
    return found


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _keys_of(picture: Path, relative: Path) -> list[Any]:
    whole = _parts(unicodedata.normalize("NFC", picture.absolute().as_posix()))
    keys: list[Any] = [_parts(unicodedata.normalize("NFC", relative.as_posix()))]
    keys += [whole[place:] for place in range(len(whole))]
    keys += [(*whole[place:-1], picture.stem) for place in range(len(whole))]
    if picture.stem.isdigit():
        keys.append(int(picture.stem))
    return keys
