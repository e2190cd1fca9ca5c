"""Folders with COCO key point files: COCO's own layout, CVAT's export, Roboflow's, or one file beside its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted_kinds
from lvtune.data.flip_pairs import pairs_of_category
from lvtune.data.formats.json_files import json_in, load, peek
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.formats.picture_finder import PictureFinder
from lvtune.data.formats.project_builder import Odd, ProjectBuilder
from lvtune.data.formats.tool_registry import FORMATS, LabelFormat
from lvtune.data.picture_names import is_inside
from lvtune.data.skeleton_links import read_links

TOOL = "COCO"
_PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def is_keypoint_coco(values: Any) -> bool:
    """Returns True if a JSON value has COCO's three lists and a category that names key points."""
    return (
        isinstance(values, dict)
        and all(isinstance(values.get(name), list) for name in ("images", "annotations", "categories"))
        and any(isinstance(one, dict) and one.get("keypoints") for one in values["categories"])
    )


def _entry(path: Path) -> Path | None:
    if path.is_file():
        return path if is_keypoint_coco(peek(path)) else None
    return path if _files(path) else None


def _files(folder: Path) -> list[Path]:
    """The key point files of a folder: in it, in annotations/, or Roboflow's in train/, valid/, test/."""
    places = [folder, folder / "annotations", *(folder / name for name in _PARTS)]
    files = [file for place in places if place.is_dir() for file in json_in(place)[:50]]
    return [file for file in files if is_keypoint_coco(peek(file))]


def parts_of(folder: Path) -> dict[str, tuple[Path, Path]] | None:
    """Part to its annotation file and the folder of its pictures; "all" for one file that names no part.

    None where several files make up one part.
    """
    files = _files(folder)
    named = [_part_of(file) for file in files]
    if not files or len(set(named)) < len(named) or (len(files) > 1 and "" in named):
        return None
    only = len(files) == 1 and named[0] in ("", "train")
    parts = ["all"] if only else named
    return {part: (file, _pictures_of(file, folder)) for part, file in zip(parts, files, strict=True)}


def _pictures_of(file: Path, folder: Path) -> Path:
    """The folder that holds the first picture of a file under the name that the file gives; else the whole folder."""
    images = load(file).get("images") or [{}]
    name = str(images[0].get("file_name") or "") if isinstance(images[0], dict) else ""
    inside = [path for base in (folder, folder / "images") if base.is_dir() for path in sorted(base.iterdir())]
    places = [file.parent, folder, folder / "images", *(path for path in inside if path.is_dir())]
    part = _part_of(file)
    places.sort(key=lambda path: path not in (folder, file.parent) and _part_of(Path(f"{path.name}.json")) != part)
    return next((place for place in places if is_inside(name) and (place / name).is_file()), folder)


def _read(entry: Path, more: Sequence[Path] = ()) -> LabelProject:
    files = _files(entry) if entry.is_dir() else [entry]
    root = entry if entry.is_dir() else entry.parent
    root = root.parent if root.name == "annotations" else root
    category = _category(load(files[0]), files[0])
    names = [str(name) for name in category["keypoints"]]
    builder = ProjectBuilder(TOOL, root, names, PictureFinder([root, root / "images", *more]))
    odd: Odd = Counter()
    parts: dict[str, list[int]] = {}
    for file in files:
        values = load(file)
        if [str(name) for name in _category(values, file)["keypoints"]] != names:
            raise DataError(
                f"{file} with other key points than {files[0].name}", "one set of key points in all files",
                "give one of the files by --annotations",
            )  # fmt: skip
        places = _add_file(builder, file, values, odd)
        part = _part_of(file)
        parts.setdefault(part, []).extend(place for place in places if place is not None)
    builder.notes += counted_kinds(odd)
    own = "" not in parts and len(parts) > 1
    links = read_links(category.get("skeleton"), len(names), builder.notes)
    pairs = pairs_of_category(category, names, builder.notes)
    return builder.finish(links=links, flip_pairs=pairs, splits=parts if own else {})


def _part_of(file: Path) -> str:
    """The part that a file's name or folder says, or ""."""
    words = file.stem.lower().replace("-", "_").replace(".", "_").split("_")
    words = [word.rstrip("0123456789") for word in words]  # train2017
    found = next((_PARTS[word] for word in words if word in _PARTS), "")
    return found or _PARTS.get(file.parent.name.lower(), "")


def _category(values: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The first category with key points; the others must have the same.

    Raises:
        DataError: categories of different key points.
    """
    posed = [one for one in values["categories"] if isinstance(one, dict) and one.get("keypoints")]
    other = next((one for one in posed if list(one["keypoints"]) != list(posed[0]["keypoints"])), None)
    if other is not None:
        raise DataError(
            f"{file} with categories of different key points ('{posed[0].get('name')}', '{other.get('name')}')",
            "one set of key points a file", "split the file",
        )  # fmt: skip
    return posed[0]


def _add_file(builder: ProjectBuilder, file: Path, values: Mapping[str, Any], odd: Odd) -> list[int | None]:
    """Adds pictures and instances of one file; returns the places of the pictures."""
    kinds = {one.get("id"): one for one in values["categories"] if isinstance(one, dict)}
    several = sum(bool(one.get("keypoints")) for one in kinds.values()) > 1
    places: dict[Any, int | None] = {}
    for image in values["images"]:
        if isinstance(image, dict) and image.get("file_name"):
            places[image.get("id")] = _picture(builder, file, image)
    total = 0
    for item in values["annotations"]:
        kind = kinds.get(item.get("category_id"), {})
        if not kind.get("keypoints") or item.get("image_id") not in places:
            odd["annotation", "of other categories or pictures: left out"] += 1
            continue
        points, seen = _points(item, len(builder.keypoints), file)
        total += int((seen > 0).sum())
        box = item.get("bbox")
        box = box if isinstance(box, list) and len(box) == 4 and float(box[2]) > 0 and float(box[3]) > 0 else None
        crowd = str(item.get("iscrowd") or 0) not in ("0", "False", "false")
        builder.add(
            places[item["image_id"]], points, seen, category=str(kind.get("name") or "") if several else "",
            box=box, area=item.get("area") or None, is_crowd=crowd,
        )  # fmt: skip
    builder.expect_points(total, file)
    return list(places.values())


def _picture(builder: ProjectBuilder, file: Path, image: Mapping[str, Any]) -> int | None:
    name = str(image["file_name"])
    subset = _part_of(file)
    folders = [file.parent / name, *(builder.root / "images" / key / name for key in _PARTS if _PARTS[key] == subset)]
    path = next((path for path in folders if path.is_file()), None)
    size = (int(image["width"]), int(image["height"])) if image.get("width") and image.get("height") else None
    parents = name.replace("\\", "/").split("/")[:-1]
    return builder.picture(
        name, path=path, size=size, group=parents[-1] if parents else "",
        category=str(image.get("category") or ""), description=str(image.get("description") or ""),
    )  # fmt: skip


def _points(item: Mapping[str, Any], count: int, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """(K, 2) points and (K,) visibility; v decides what is labelled, never x and y."""
    values = item.get("keypoints") or [0] * (3 * count)
    if len(values) != 3 * count:
        raise DataError(
            f"annotation {item.get('id')} in {file} with {len(values)} key point values",
            f"{3 * count}: x, y, visibility of {count} key points", "correct that entry",
        )  # fmt: skip
    numbers = np.array([np.nan if value is None else float(value) for value in values]).reshape(count, 3)
    seen = np.nan_to_num(numbers[:, 2])
    return numbers[:, :2], np.where(seen == 1, 1, np.where(seen > 0, 2, 0))


FORMATS.register("coco")(
    LabelFormat(TOOL, "a key point JSON in the folder, in annotations/, or in train/ and valid/", _entry, _read)
)
