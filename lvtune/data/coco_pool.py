"""The pictures of a COCO file and their boxes, as pictures without labels. No key point of theirs is ever read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError
from lvtune.core.text import brief, counted, counted_kinds, plural
from lvtune.data.coco_values import Counted, read_crowd
from lvtune.data.json_file import load_json
from lvtune.data.picture_names import find_pictures

Boxes = dict[Path, list[list[float]]]
"""Picture to its boxes, x, y, width, height in pixels; none: the whole picture is one instance."""

_UPWARDS = 2
"""Folders above a COCO file in which its pictures are looked for."""
_CROWD, _FAULTY, _STRAY, _BARE = (
    ("annotation", "of a crowd (`iscrowd`): left out"),
    ("annotation", "with a faulty box (no four numbers, or no area): left out"),
    ("annotation", "whose `image_id` is the `id` of no picture: left out"),
    ("annotation", "without a box: left out"),
)


class NoCocoFile(DataError):
    """A JSON file that is not COCO's at all."""


def boxes_of_coco(path: Path) -> tuple[Boxes, list[str]]:
    """Reads pictures and boxes of a COCO file.

    Each box is an instance; a picture without a box is one, taken whole. A picture whose boxes are all of crowds or
    faulty is left out.

    Args:
        path: of the file; its pictures lie beside it, or beside its folder.

    Returns:
        Picture to its boxes, and notes that count what is left out.

    Raises:
        DataError: no COCO file; a value in it that cannot be; no picture of it is there.
    """
    values = load_json(path)
    images = _images(values, path)
    annotations = _annotations(values, path)
    ids = [_key(image.get("id"), "id", f"image {image['file_name']}", path) for image in images]
    if annotations:
        _check_ids(ids, images, path)
    files, notes = _find([image["file_name"] for image in images], path)
    place_of: dict[str | None, int] = {key: place for place, key in enumerate(ids) if key is not None}
    own: list[list[list[float]]] = [[] for _ in images]
    refused: set[int] = set()
    counts = dict.fromkeys((_CROWD, _FAULTY, _STRAY, _BARE), 0)
    odd = Counted()
    for number, item in enumerate(annotations):
        where = f"annotation {brief(item.get('id', number))}"
        place = place_of.get(_key(item.get("image_id"), "image_id", where, path))
        if place is None:
            counts[_STRAY] += 1
            continue
        if files[place] is None:
            continue
        box, fault = _box(item.get("bbox")), None
        if read_crowd(item.get("iscrowd"), where, odd):
            fault = _CROWD
        elif box is None:
            fault = _BARE if item.get("bbox") in (None, []) else _FAULTY
        if fault is not None:
            counts[fault] += 1
            refused |= set() if fault is _BARE else {place}
        elif box is not None:
            own[place].append(box)
    boxes, lost = _of_files(files, own, refused)
    notes += [*counted_kinds(counts), *odd.sentences()]
    if lost:
        notes.append(f"{counted(len(lost), 'picture')} left out: no other box is in {plural(len(lost), 'it', 'them')} "
                     f"(such as {lost[0].name})")  # fmt: skip
    if not boxes:
        raise DataError(f"{path} without a box to use ({'; '.join(notes)})", "boxes x, y, width, height in pixels",
                        "correct `bbox`, or give the folder of the pictures: each is then taken whole")  # fmt: skip
    return boxes, notes


def _images(values: Any, path: Path) -> list[dict[str, Any]]:
    images = values.get("images") if isinstance(values, dict) else None
    if not isinstance(images, list):
        raise NoCocoFile(f"{path} without a list `images`", "a COCO file", "check the path")
    if not images:
        raise DataError(f"{path} whose `images` are empty", "at least one picture", "check the path")
    for number, image in enumerate(images):
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"entry {number} of `images` in {path}: {brief(image)}",
                            "`images` that have a `file_name`, which is text", "correct that entry")  # fmt: skip
    return images


def _annotations(values: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    found = values.get("annotations")
    found = [] if found is None else found
    fault = None if isinstance(found, list) else f"`annotations` of {path}: {brief(found)}"
    if fault is None:
        fault = next((f"entry {i} of `annotations` in {path}: {brief(one)}" for i, one in enumerate(found)
                      if not isinstance(one, dict)), None)  # fmt: skip
    if fault is not None:
        raise DataError(fault, "a list of annotations with `image_id` and `bbox`", "correct it, or leave it out")
    return found


def _key(value: Any, name: str, where: str, path: Path) -> str | None:
    """An id as text: files mix 5, "5" and 5.0. None: there is none."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or (isinstance(value, int) and abs(value) > 2**63):
        raise DataError(f"`{name}` of {where} in {path}: {brief(value)}", "a whole number, or text", "correct it")
    return str(value).strip()


def _check_ids(ids: Sequence[str | None], images: Sequence[dict[str, Any]], path: Path) -> None:
    """Checks that an annotation can say which picture it is of."""
    seen: dict[str, str] = {}
    for key, image in zip(ids, images, strict=True):
        name = image["file_name"]
        if key is None:
            raise DataError(f"image {name} of {path} without an `id`, beside annotations", "an `id` for each image",
                            "number the images, or give the folder of the pictures")  # fmt: skip
        if key in seen:
            raise DataError(f"image id {key} twice in {path}: {seen[key]} and {name}", "one `id` for each image",
                            "number the images anew, or give the folder of the pictures")  # fmt: skip
        seen[key] = name


def _find(names: list[str], path: Path) -> tuple[list[Path | None], list[str]]:
    """Where the pictures lie, beside the file or beside its folder; None: one is not there. And notes."""
    roots = list(path.absolute().parents)[:_UPWARDS]
    try:
        places = [find_pictures(names, root) for root in roots]
    except DataError as error:  # links: a pool has no option for them
        fix = "copy them there, or give the folder of the pictures, whose links are followed"
        raise DataError(error.given, error.expected, fix) from None
    best = max(range(len(places)), key=lambda i: sum(places[i].is_there))
    found = places[best]
    files = [roots[best] / name if there else None for name, there in zip(found.names, found.is_there, strict=True)]
    missing = files.count(None)
    if missing == len(names):
        raise DataError(
            f"{path}, of whose {counted(missing, 'picture')} none is there",
            f"pictures beside it, such as {names[0]}",
            "copy the file beside its pictures",
        )  # fmt: skip
    notes = list(found.notes)
    if missing:
        pictures = f"{counted(len(names), 'picture')} of {path.name}"
        notes.append(f"{missing} of {pictures} {plural(missing, 'is', 'are')} not there: left out")
    return files, notes


def _of_files(
    files: Sequence[Path | None], own: Sequence[list[list[float]]], refused: set[int]
) -> tuple[Boxes, list[Path]]:
    """Boxes of each file, which can be in the list more than once; and files that have refused boxes alone."""
    boxes: Boxes = {}
    hidden: list[Path] = []
    for place, file in enumerate(files):
        if file is None:
            continue
        boxes.setdefault(file, []).extend(own[place])
        hidden += [file] if place in refused else []
    lost = [file for file in dict.fromkeys(hidden) if not boxes[file]]
    return {file: found for file, found in boxes.items() if file not in set(lost)}, lost


def _box(given: Any) -> list[float] | None:
    is_box = isinstance(given, list) and len(given) == 4 and all(type(v) in (int, float) for v in given)
    if not is_box or not all(abs(v) < 1e9 for v in given) or given[2] <= 0 or given[3] <= 0:
        return None
    return [float(value) for value in given]
