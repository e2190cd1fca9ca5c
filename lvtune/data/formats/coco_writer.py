"""Writes labels in COCO's key point format, with or without copies of the pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.files import user_errors, write_text
from lvtune.core.text import counted
from lvtune.data.formats.label_project import Instance, LabelProject, Picture
from lvtune.data.formats.point_boxes import MARGIN, box_around

Boxes = Literal["points", "whole"]


@dataclass(frozen=True)
class WrittenCoco:
    """What was written."""

    annotations: Mapping[str, Path]
    """Part to its JSON file; the one part is "all" where the project has no split of its own."""
    images: Path
    """Folder of the pictures, which `file_name` is relative to."""
    notes: tuple[str, ...]


def to_coco(
    project: LabelProject,
    boxes: Boxes = "points",
    file_names: Mapping[int, str] | None = None,
    *,
    margin: float = MARGIN,
) -> tuple[dict[str, Any], list[str]]:
    """Returns a project as the content of one COCO key point file, and notes.

    Unlabelled points are 0, 0, 0. Drawn boxes are kept; the other instances get a box around their points with a
    margin, or the whole picture. `flip_pairs` (pairs of names) stands in the category where the labels have mirror
    pairs; `group` (video or folder) in each image that comes from one.

    Args:
        project: the labels.
        boxes: ``points`` or ``whole``, for instances without a drawn box.
        file_names: place of a picture to `file_name`; the picture's own name by default.
        margin: around the points, as a share of their longer extent.
    """
    names = list(project.keypoints)
    kinds = project.categories or dict.fromkeys(item.category for item in project.instances)
    numbers = {kind: number for number, kind in enumerate(kinds, start=1)}
    shape: dict[str, Any] = {"keypoints": names, "skeleton": [[a + 1, b + 1] for a, b in project.links]}
    if project.flip_pairs is not None:
        shape["flip_pairs"] = [[names[a], names[b]] for a, b in project.flip_pairs]
    annotations, made, lost = [], 0, 0
    for item in project.instances:
        box = item.box or _box(item, project.pictures[item.picture], boxes, margin)
        if box is None:
            lost += 1
            continue
        made += item.box is None
        annotations.append(_annotation(item, box, len(annotations) + 1, numbers[item.category]))
    images = [
        _image(picture, place, (file_names or {}).get(place, picture.name))
        for place, picture in enumerate(project.pictures)
    ]
    notes = [_how(made, boxes, margin)] if made else []
    notes += [f"{counted(lost, 'instance')} with every point outside the picture: left out"] if lost else []
    categories = [{"id": number, "name": kind or "instance", **shape} for kind, number in numbers.items()]
    return {"images": images, "annotations": annotations, "categories": categories}, notes


def _how(made: int, boxes: Boxes, margin: float) -> str:
    if boxes == "whole":
        return f"{counted(made, 'instance')} without a drawn box: the whole picture is taken"
    return (
        f"{counted(made, 'instance')} without a drawn box: box around the labelled points with a margin of {margin:.0%}"
    )


def _box(item: Instance, picture: Picture, boxes: Boxes, margin: float) -> tuple[float, float, float, float] | None:
    if boxes == "whole":
        return 0.0, 0.0, float(picture.width), float(picture.height)
    return box_around(item.keypoints, item.visibility, (picture.width, picture.height), margin)


def _image(picture: Picture, place: int, file_name: str) -> dict[str, Any]:
    more = {"group": picture.group, "category": picture.category, "description": picture.description}
    return {
        "id": place + 1, "file_name": file_name, "width": picture.width, "height": picture.height,
        **{key: value for key, value in more.items() if value},
    }  # fmt: skip


def _annotation(item: Instance, box: tuple[float, float, float, float], number: int, category: int) -> dict[str, Any]:
    points = np.concatenate([item.keypoints.round(4), item.visibility[:, None]], 1)
    flat = [int(value) if place % 3 == 2 else value for place, value in enumerate(points.reshape(-1).tolist())]
    corners = [round(value, 4) for value in box]
    return {
        "id": number, "image_id": item.picture + 1, "category_id": category, "keypoints": flat,
        "num_keypoints": int((item.visibility > 0).sum()), "bbox": corners,
        "area": corners[2] * corners[3] if item.area is None else item.area, "iscrowd": int(item.is_crowd),
        **({"individual": item.individual} if item.individual else {}),
    }  # fmt: skip


def write_coco(project: LabelProject, out: str | Path, boxes: Boxes = "points", *, link: bool = False) -> WrittenCoco:
    """Writes a project as a folder of COCO files: images/ and annotations/train.json, test.json, or annotations.json.

    Args:
        project: the labels.
        out: folder that does not exist yet, or is empty.
        boxes: ``points`` or ``whole``, for instances without a drawn box.
        link: put symbolic links into images/ in place of copies.

    Raises:
        DataError: the folder holds something already.
        LvtuneError: it cannot be written.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"output folder {out}, which is not empty", "a new folder", "choose another --out DIR")
    names = _file_names(project)
    with user_errors(out):
        for place, picture in enumerate(project.pictures):
            target = out / "images" / names[place]
            target.parent.mkdir(parents=True, exist_ok=True)
            if link:
                target.symlink_to(picture.path.resolve())
            else:
                shutil.copyfile(picture.path, target)
    files, notes = {}, []
    parts = {part: project.part(part) for part in project.splits} or {"all": project}
    for part, labels in parts.items():
        places = project.splits.get(part, range(len(project.pictures)))
        content, more = to_coco(labels, boxes, {new: names[old] for new, old in enumerate(places)})
        file = out / ("annotations.json" if part == "all" else f"annotations/{part}.json")
        files[part] = write_text(file, json.dumps(content))
        notes += [note if part == "all" else f"{part}: {note}" for note in more]
    made = "links to" if link else "copies of"
    notes.append(f"{out / 'images'} holds {made} {counted(len(project.pictures), 'picture')}")
    return WrittenCoco(files, out / "images", tuple(notes))


def _file_names(project: LabelProject) -> dict[int, str]:
    """Place of a picture to its name below images/: the project's without a leading images/, each once."""
    names = {place: picture.name for place, picture in enumerate(project.pictures)}
    short = {place: name.removeprefix("images/") for place, name in names.items()}
    folded = {name.casefold() for name in short.values()}
    return short if len(folded) == len(short) else names
