"""The sections of a COCO-style file, its category with key points, and the order of their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError
from lvtune.data.coco_values import integer
from lvtune.data.skeletons import COCO_17, Skeleton

_HOW = "COCO's key point format: https://cocodataset.org/#format-data"
Entries = list[dict[str, Any]]


def sections(data: Any, path: Path) -> tuple[Entries, Entries, Entries]:
    """``images``, ``annotations`` and ``categories``.

    Raises:
        DataError: one of them is missing, empty, or no list of objects.
    """
    if not isinstance(data, dict):
        hint = "give it as the detections (boxes), and a ground truth file as the annotations"
        raise DataError(f"{path}, a JSON {type(data).__name__}", "an object with images, annotations, categories", hint)
    for name in ("images", "annotations", "categories"):
        if name not in data:
            raise DataError(f"{path} without `{name}`", "images, annotations and categories", _HOW)
        if not isinstance(data[name], list) or not all(isinstance(item, dict) for item in data[name]):
            raise DataError(f"`{name}` of {path} that is not a list of objects", "a list of objects", _HOW)
        if not data[name]:
            raise DataError(f"{path} with no {name}", f"at least one entry in `{name}`", _HOW)
    return data["images"], data["annotations"], data["categories"]


def posed_categories(categories: Entries, path: Path) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    """The categories with key points by id, and the one whose names count.

    Raises:
        DataError: there is none, or their key points differ.
    """
    posed = {
        integer(category.get("id"), f"id of a category in {path}"): category
        for category in categories
        if isinstance(category.get("keypoints"), list) and category["keypoints"]
    }
    if not posed:
        raise DataError(
            f"{path}, whose categories name no key points",
            "a category with `keypoints` (a list of names)",
            "use the key point annotations, such as person_keypoints_*.json",
        )
    first = next(iter(posed.values()))
    others = [c for c in posed.values() if list(c["keypoints"]) != list(first["keypoints"])]
    if others:
        raise DataError(
            f"{path} with categories of different key points ('{first.get('name')}', '{others[0].get('name')}')",
            "one set of key points a file",
            "split the file",
        )
    return posed, first


def annotated_count(annotations: Entries, field: str, path: Path) -> int | None:
    """How many key points the first annotation that has any holds; None where none has.

    Raises:
        DataError: its numbers are not three for each key point.
    """
    for item in annotations:
        if not item.get(field):
            continue
        values = item[field]
        where = f"annotation {item.get('id')} in {path}"
        if not isinstance(values, list):
            raise DataError(f"`{field}` of {where}: {values!r:.60}", "a list of numbers", "correct that entry")
        length = sum(len(value) if isinstance(value, list) else 1 for value in values)
        if length % 3:
            raise DataError(
                f"{where} with {length} numbers", "x, y, visibility for each key point", "correct that entry"
            )
        return length // 3
    return None


def match_names(
    category: dict[str, Any], count: int | None, skeleton: Skeleton | None, path: Path, field: str
) -> tuple[Skeleton, list[int], list[str]]:
    """The skeleton, for each of its key points the place in the file's annotations, and notes.

    Raises:
        DataError: the annotations have another number of key points than the category, or ``skeleton`` others.
    """
    names, notes = [str(name) for name in category["keypoints"]], []
    if count == len(COCO_17.keypoints) < len(names) and tuple(names[:count]) == COCO_17.keypoints:
        # Human-Art's category names 21 key points, its `keypoints` hold the first 17 of them.
        notes.append(f"`{field}` holds the first {count} of the category's {len(names)} key points")
        names, category = names[:count], {"keypoints": names[:count]}
    if count not in (None, len(names)):
        raise DataError(
            f"annotations in {path} with {count} key points, its category with {len(names)}",
            "as many key points as the category names",
            "correct the category or the annotations",
        )
    if skeleton is None:
        return Skeleton.from_category(category, notes=notes), list(range(len(names))), notes
    lacking = [name for name in skeleton.keypoints if name not in names]
    if lacking:
        raise DataError(
            f"{path} without the key points {', '.join(lacking)} of skeleton '{skeleton.name}' "
            f"(it has {', '.join(names)})",
            f"the {len(skeleton.keypoints)} key points of '{skeleton.name}'",
            "choose a base and domain of the same skeleton, or rename the key points in the file's category",
        )
    return skeleton, [names.index(name) for name in skeleton.keypoints], notes
