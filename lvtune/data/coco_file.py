"""From a COCO-style key point file to columns: every fault of the file becomes an error that names it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import COCO_17, Skeleton

PERSON, IGNORED, ZERO_BOX, INVISIBLE, EMPTY_IMAGE = range(5)
_NOTES = {
    IGNORED: "crowd or without key points: ignored",
    ZERO_BOX: "with a box of no size inside the image: skipped",
    INVISIBLE: "with every key point invisible: skipped",
}
_HOW = "COCO's key point format: https://cocodataset.org/#format-data"


def load_json(path: Path, what: str = "annotation file") -> Any:
    """Parse a JSON file.

    Raises:
        LvtuneError: missing, a folder, unreadable, or not JSON.
    """
    if not path.exists():
        raise LvtuneError(f"no {what} at {path}", "a JSON file", "check the path")
    if path.is_dir():
        raise LvtuneError(f"{path}, a folder", f"a JSON {what}", "name the file in it")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # JSONDecodeError, UnicodeDecodeError
        raise LvtuneError(
            f"{what} {path} that is not JSON ({error})", "a whole JSON file", "fetch or write it again"
        ) from None
    except OSError as error:
        raise LvtuneError(
            f"{what} {path} that cannot be read ({error.strerror})", "a readable file", "check its permissions"
        ) from None


def _sections(data: Any, path: Path) -> tuple[list[Any], list[Any], list[Any]]:
    if not isinstance(data, dict):
        hint = "give it as the detections (boxes), and a ground truth file as the annotations"
        raise LvtuneError(
            f"{path}, a JSON {type(data).__name__}", "an object with images, annotations, categories", hint
        )
    for name in ("images", "annotations", "categories"):
        if name not in data:
            raise LvtuneError(f"{path} without `{name}`", "images, annotations and categories", _HOW)
        if not isinstance(data[name], list) or not all(isinstance(item, dict) for item in data[name]):
            raise LvtuneError(f"`{name}` of {path} that is not a list of objects", "a list of objects", _HOW)
        if not data[name]:
            raise LvtuneError(f"{path} with no {name}", f"at least one entry in `{name}`", _HOW)
    return data["images"], data["annotations"], data["categories"]


def _numbers(values: Any, what: str) -> np.ndarray:
    """A flat float64 array of finite numbers."""
    try:
        array = np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None or not np.isfinite(array).all():
        raise LvtuneError(f"{what}: {str(values)[:80]}", "finite numbers", "mend that entry")
    return array


def _integer(value: Any, what: str) -> int:
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise LvtuneError(f"{what}: {value!r:.60}", "an integer", "number them with integers")
    return value


def _index_images(images: list[dict[str, Any]], path: Path) -> dict[Any, dict[str, Any]]:
    known: dict[Any, dict[str, Any]] = {}
    for image in images:
        lacking = [name for name in ("id", "file_name", "width", "height") if image.get(name) is None]
        if lacking:
            raise LvtuneError(
                f"an image of {path} without `{lacking[0]}`: {str(image)[:80]}",
                "id, file_name, width and height for every image",
                "add it",
            )
        number = _integer(image["id"], f"id of image {image['file_name']} in {path}")
        if number in known:
            raise LvtuneError(f"image id {number} twice in {path}", "one id for each image", "number the images anew")
        size = _numbers([image["width"], image["height"]], f"size of image {image['file_name']}")
        if (size < 1).any() or (size > 2**31).any():
            raise LvtuneError(
                f"image {image['file_name']} of size {image['width']}x{image['height']}",
                "width and height of at least 1 pixel",
                "write the picture's true size",
            )
        known[number] = {**image, "id": number, "width": int(size[0]), "height": int(size[1])}
    return known


def _names_of_file(categories: list[dict[str, Any]], path: Path) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Ids of the categories with key points, and the one whose names count."""
    posed = {
        _integer(category.get("id"), f"id of a category in {path}"): category
        for category in categories
        if isinstance(category.get("keypoints"), list) and category["keypoints"]
    }
    if not posed:
        raise LvtuneError(
            f"{path}, whose categories name no key points",
            "a category with `keypoints` (a list of names)",
            "use the key point annotations, such as person_keypoints_*.json",
        )
    first = next(iter(posed.values()))
    others = [c for c in posed.values() if list(c["keypoints"]) != list(first["keypoints"])]
    if others:
        raise LvtuneError(
            f"{path} with categories of different key points ('{first.get('name')}', '{others[0].get('name')}')",
            "one set of key points a file",
            "split the file",
        )
    return posed, first


def _annotated_count(annotations: list[dict[str, Any]], field: str, path: Path) -> int | None:
    """How many key points the first annotation that has any holds."""
    for item in annotations:
        if item.get(field):
            values = _numbers(item[field], f"`{field}` of annotation {item.get('id')} in {path}")
            if len(values) % 3:
                raise LvtuneError(
                    f"annotation {item.get('id')} in {path} with {len(values)} numbers",
                    "x, y, visibility for each key point",
                    "mend that entry",
                )
            return len(values) // 3
    return None


def _match_names(
    category: dict[str, Any], count: int | None, skeleton: Skeleton | None, path: Path, field: str
) -> tuple[Skeleton, list[int], list[str]]:
    """The skeleton, for each of its key points the place in the file's annotations, and notes."""
    names, notes = [str(name) for name in category["keypoints"]], []
    if count == len(COCO_17.keypoints) < len(names) and tuple(names[:count]) == COCO_17.keypoints:
        # Human-Art's category names 21 key points, its `keypoints` hold the first 17 of them.
        notes.append(f"`{field}` holds the first {count} of the category's {len(names)} key points")
        names, category = names[:count], {"keypoints": names[:count]}
    if count not in (None, len(names)):
        raise LvtuneError(
            f"annotations in {path} with {count} key points, its category with {len(names)}",
            "as many key points as the category names",
            "mend the category or the annotations",
        )
    if skeleton is None:
        return Skeleton.from_category(category), list(range(len(names))), notes
    lacking = [name for name in skeleton.keypoints if name not in names]
    if lacking:
        raise LvtuneError(
            f"{path} without the key points {', '.join(lacking)} of skeleton '{skeleton.name}' "
            f"(it has {', '.join(names)})",
            f"the {len(skeleton.keypoints)} key points of '{skeleton.name}'",
            "choose a base and domain of the same skeleton, or rename the key points in the file's category",
        )
    return skeleton, [names.index(name) for name in skeleton.keypoints], notes


class _Builder:
    """Gathers one row an annotation."""

    def __init__(self, path: Path, images: dict[Any, dict[str, Any]], posed: dict[Any, Any]) -> None:
        self.path, self.images, self.posed = path, images, posed
        self.rows: list[tuple[Any, ...]] = []
        self.without_area = 0

    def add(self, item: dict[str, Any], order: list[int], count: int, field: str, required: bool) -> None:
        where = f"annotation {item.get('id', '?')} in {self.path}"
        image = self.images.get(_integer(item.get("image_id"), f"image_id of {where}"))
        if image is None:
            raise LvtuneError(
                f"{where} of image {item.get('image_id')!r}, which is not among `images`",
                "an image_id that `images` has",
                "add the image or drop the annotation",
            )
        category = item.get("category_id", next(iter(self.posed)))
        if _integer(category, f"category_id of {where}") not in self.posed:
            return
        box = _numbers(item.get("bbox") or [], f"`bbox` of {where}")
        if len(box) != 4:
            raise LvtuneError(
                f"{where} with a `bbox` of {len(box)} numbers", "x, y, width, height in pixels", "add the person's box"
            )
        low = np.clip(box[:2], 0, (image["width"], image["height"]))
        high = np.clip(box[:2] + box[2:], 0, (image["width"], image["height"]))
        box = np.concatenate([low, high - low])
        points = self._points(item, count, field, where)[order]
        crowd, seen = bool(item.get("iscrowd")), int((points[:, 2] > 0).sum())
        annotated = item.get(field) and item.get(f"num_{field}", item.get("num_keypoints", seen))
        kind = PERSON
        if crowd or (required and not annotated):
            kind = IGNORED
        elif (box[2:] <= 0).any():
            kind = ZERO_BOX
        elif required and not seen:
            kind = INVISIBLE
        number = _integer(item.get("id", len(self.rows) + 1), f"id of an annotation in {self.path}")
        # the name of the only category says nothing that the data set does not
        label = str(self.posed[category].get("name") or "") if len(self.posed) > 1 else ""
        self.rows.append((kind, image["id"], number, crowd, self._area(item, box, where), box, points, label))

    def _area(self, item: dict[str, Any], box: np.ndarray, where: str) -> float:
        if item.get("area") is None:
            self.without_area += 1
            return float(box[2] * box[3])
        area = _numbers([item["area"]], f"`area` of {where}")
        if len(area) != 1 or area[0] < 0:
            raise LvtuneError(f"`area` of {where}: {item['area']}", "square pixels, 0 or more", "mend it")
        return float(area[0])

    def _points(self, item: dict[str, Any], count: int, field: str, where: str) -> np.ndarray:
        if not item.get(field):
            return np.zeros((count, 3))
        values = _numbers(item[field], f"`{field}` of {where}")
        if len(values) != 3 * count:
            raise LvtuneError(
                f"{where} with {len(values)} key point values",
                f"{3 * count}: x, y, visibility of {count} key points",
                "mend that entry",
            )
        points = values.reshape(count, 3)
        if not np.isin(points[:, 2], (0, 1, 2)).all():
            raise LvtuneError(
                f"{where} with visibility {points[~np.isin(points[:, 2], (0, 1, 2)), 2][0]:g}",
                "0 (not labelled), 1 (hidden) or 2 (visible)",
                "mend that entry",
            )
        return points


def parse_coco(
    path: Path, skeleton: Skeleton | None, field: str, required: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns and meta of a COCO-style file; persons first, then ignored annotations, then empty images.

    Columns (n rows): kind, image_id, annotation_id, width, height, crowd, area, bbox (n, 4) xywh clipped to
    the image, keypoints (n, K, 3), image, tag (the image's `category`), label (name of the annotation's category
    where the file has several), description.

    Raises:
        LvtuneError: any fault of the file.
    """
    images, annotations, categories = _sections(load_json(path), path)
    by_id = _index_images(images, path)
    posed, category = _names_of_file(categories, path)
    count = _annotated_count(annotations, field, path)
    if count is None and required:
        raise LvtuneError(
            f"{path}, whose annotations have no `{field}`",
            f"`{field}` in the annotations",
            "use a key point annotation file (person_keypoints_*.json)",
        )
    skeleton, order, notes = _match_names(category, count, skeleton, path, field)
    builder = _Builder(path, by_id, posed)
    for item in annotations:
        builder.add(item, order, count or len(category["keypoints"]), field, required)
    rows = sorted(builder.rows, key=lambda row: row[0])
    kinds = [row[0] for row in rows]
    for kind, text in _NOTES.items():
        if kind in kinds:
            notes.append(f"{kinds.count(kind)} of {len(kinds)} annotations {text}")
    if builder.without_area:
        notes.append(f"{builder.without_area} annotations without `area`: the box's is taken")
    if PERSON not in kinds:
        raise LvtuneError(
            f"{path} with no person to use ({'; '.join(notes) or 'no annotation of a person'})",
            "at least one person with a box and visible key points",
            "check the annotations",
        )
    meta = {"skeleton": skeleton.to_dict(), "notes": notes, "category_ids": list(posed)}
    return _columns(rows, by_id, len(skeleton.keypoints)), meta


def _columns(rows: list[tuple[Any, ...]], images: Mapping[Any, dict[str, Any]], count: int) -> dict[str, Any]:
    used = {row[1] for row in rows}
    nothing = (-1, False, 0.0, np.zeros(4), np.zeros((count, 3)), "")
    rows = [*rows, *((EMPTY_IMAGE, i, *nothing) for i in images if i not in used)]
    of = [images[row[1]] for row in rows]
    return {
        "kind": np.array([row[0] for row in rows], np.int8),
        "image_id": np.array([row[1] for row in rows], np.int64),
        "annotation_id": np.array([row[2] for row in rows], np.int64),
        "crowd": np.array([row[3] for row in rows], np.int8),
        "area": np.array([row[4] for row in rows], np.float64),
        "bbox": np.stack([row[5] for row in rows]),
        "keypoints": np.stack([row[6] for row in rows]),
        "width": np.array([image["width"] for image in of], np.int64),
        "height": np.array([image["height"] for image in of], np.int64),
        "image": [str(image["file_name"]) for image in of],
        "tag": [str(image.get("category") or "") for image in of],
        "label": [row[7] for row in rows],
        "description": [str(image.get("description") or "") for image in of],
    }
