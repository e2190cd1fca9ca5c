"""labelme: one JSON a picture, with points and rectangles that a group id ties together.

Facts of the format: labelme's README and its own files (wkentaro/labelme). A picture may be kept inside its JSON.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.files import write_atomically
from lvtune.core.text import counted_kinds
from lvtune.data.arrow import default_cache_dir
from lvtune.data.formats.grouping import Group, Mark, instances_of
from lvtune.data.formats.json_files import json_in, peek
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.formats.picture_finder import PICTURE_SUFFIXES, PictureFinder, plain_name
from lvtune.data.formats.project_builder import Odd, ProjectBuilder
from lvtune.data.formats.tool_registry import FORMATS, LabelFormat

TOOL = "labelme"
_HIDDEN = ("occluded", "hidden")


def _is_labelme(values: Any) -> bool:
    return isinstance(values, dict) and isinstance(values.get("shapes"), list) and "imagePath" in values


def _entry(path: Path) -> Path | None:
    """The folder with the files, or the folder of the file that was given."""
    if path.is_file():
        return path.parent if _is_labelme(peek(path)) else None
    return path if any(_is_labelme(peek(file)) for file in _files(path)[:20]) else None


def _files(folder: Path) -> list[Path]:
    """The JSON files in a folder, else in the folders in it."""
    return json_in(folder) or sorted(path for path in folder.glob("*/*.json") if path.is_file())


def _read(entry: Path, more: Sequence[Path] = ()) -> LabelProject:
    files = {file: values for file in _files(entry) if _is_labelme(values := peek(file))}
    names, notes = _names(entry, list(files.values()))
    builder = ProjectBuilder(TOOL, entry, names, PictureFinder([entry, *more]))
    builder.notes += notes
    odd: Odd = Counter()
    for file, values in files.items():
        place = _picture(builder, entry, file, values, odd)
        total = _add(builder, place, values, f"picture of {file.name}", odd)
        builder.expect_points(total, file)
    builder.notes += counted_kinds(odd)
    return builder.finish()


def _names(folder: Path, files: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Names of the key points: in the order of labels.txt where it is there, else as they first appear."""
    points = [shape for values in files for shape in values["shapes"] if shape.get("shape_type") == "point"]
    used = list(dict.fromkeys(str(shape.get("label")) for shape in points))
    listing = next((file for file in (folder / "labels.txt", folder.parent / "labels.txt") if file.is_file()), None)
    if listing is not None:
        lines = [line.strip() for line in listing.read_text(encoding="utf-8-sig").splitlines()]
        if set(used) <= set(lines):
            return [line for line in lines if line in used], []
    note = "labelme keeps no order of the key points: they stand in the order in which they first appear (a file "
    return used, [note + "labels.txt with a name a line sets it)"] if used else []


def _picture(
    builder: ProjectBuilder, folder: Path, file: Path, values: Mapping[str, Any], odd: Odd
) -> int | None:  # fmt: skip
    """Adds the picture: beside its JSON, elsewhere in the folder, or from inside the JSON."""
    name = plain_name(str(values["imagePath"]))
    same = [path for path in sorted(file.parent.glob(f"{_glob(file.stem)}.*")) if _is_picture(path)]
    beside = file.parent / name
    path = beside if beside.is_file() else builder.finder.find(name) or (same[0] if same else None)
    if path is None and values.get("imageData"):
        path = _taken_out(str(values["imageData"]), name)
        odd["picture", "stored inside JSON: written into lvtune's cache"] += path is not None
    width, height = values.get("imageWidth"), values.get("imageHeight")
    size = (int(width), int(height)) if width and height else None
    inside = file.parent != folder
    return builder.picture(name, path=path, size=size, group=file.parent.name if inside else "")


def _glob(stem: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in stem)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def _taken_out(text: str, name: str) -> Path | None:
    """Writes a picture of base64 text into the cache."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    mark = hashlib.sha256(data).hexdigest()[:20]
    last = name.rpartition("/")[2]
    target = default_cache_dir() / "frames" / mark / (last if _is_picture(Path(last)) else "picture.png")
    return target if target.is_file() else write_atomically(target, data)


def _add(
    builder: ProjectBuilder, place: int | None, values: Mapping[str, Any], where: str, odd: Odd
) -> int:  # fmt: skip
    """Adds the instances of a picture; returns how many points it holds."""
    shapes = [shape for shape in values["shapes"] if isinstance(shape, dict)]
    total = 0
    for group in dict.fromkeys(shape.get("group_id") for shape in shapes):
        mine = [shape for shape in shapes if shape.get("group_id") == group]
        marks = [mark for number, shape in enumerate(mine) if (mark := _mark(number, shape, odd)) is not None]
        if group is None and any(shape.get("group_id") is not None for shape in shapes):
            odd["shape", "without a group id beside grouped ones: left out"] += len(marks)
            continue
        for found in instances_of(marks, {}, builder.keypoints, where):
            total += _add_group(builder, place, found, odd)
    return total


def _add_group(builder: ProjectBuilder, place: int | None, found: Group, odd: Odd) -> int:
    if not found.points:
        odd["rectangle", "without a point: left out"] += 1
        return 0
    if not found.is_sure:
        odd["point", "in no rectangle or in several: left out"] += len(found.points)
        return 0
    xy, seen = found.arrays(builder.keypoints)
    builder.add(place, xy, seen, category=found.label, box=found.box)
    return len(found.points)


def _mark(number: int, shape: Mapping[str, Any], odd: Odd) -> Mark | None:
    kind, label = shape.get("shape_type"), str(shape.get("label"))
    if kind not in ("point", "rectangle"):
        odd["shape", f"of type {kind}: left out"] += 1
        return None
    flags = shape.get("flags") or {}
    is_hidden = any(flags.get(name) for name in _HIDDEN)
    corners = np.asarray(shape["points"], np.float64).reshape(-1, 2)
    return Mark(f"{kind}{number}", label, corners, kind == "point", 1 if is_hidden else 2)


FORMATS.register("labelme")(LabelFormat(TOOL, "a JSON with shapes beside each picture", _entry, _read))
