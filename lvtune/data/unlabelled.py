"""Pictures without labels: a folder, frames of a video, or the pictures and boxes of a COCO file.

No key point of theirs is ever read.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from lvtune.core.errors import DataError
from lvtune.core.text import counted, plural
from lvtune.data.find_images import find_images, left_out_note
from lvtune.data.frames_of_video import MOST_FRAMES, frames_of
from lvtune.data.json_file import load_json
from lvtune.data.picture_headers import read_headers
from lvtune.data.picture_names import find_pictures
from lvtune.data.pose_table import PoseTable
from lvtune.data.skeletons import Skeleton
from lvtune.data.table import read_coco
from lvtune.data.video_frames import is_video

_UPWARDS = 2
"""Folders above a COCO file in which its pictures are looked for."""


class HiddenLabels(Dataset):
    """The samples of a data set without their labels, whatever the data set knows.

    Args:
        data: items of :class:`lvtune.data.dataset.PoseDataset` or :class:`lvtune.data.hand_dataset.HandDataset`.
    """

    groups = None

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    @property
    def table(self) -> Any:
        """The table behind the samples, where there is one; it names their pictures."""
        return getattr(self.data, "table", None)

    @property
    def views(self) -> Any:
        """The views that each picture is shown in; None: one."""
        return getattr(self.data, "views", None)

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: a picture is the same in every epoch, so an answer for it can be kept."""

    def __getitem__(self, item: int) -> dict[str, Any]:
        found = dict(self.data[item])
        for name in ("keypoints", "visible"):
            found[name] = torch.zeros_like(found[name])
        for name in ("xyz", "root"):
            if name in found:
                found[name] = torch.full_like(found[name], torch.nan)
        return found


def read_unlabelled(given: str | Path, skeleton: Skeleton, frames: int = MOST_FRAMES) -> PoseTable:
    """Reads pictures without labels as a table of instances, each with a box and no key point.

    Args:
        given: a folder, of which every picture is one instance; a picture; a video, of which evenly spread frames are;
            or a COCO file: each box of it is an instance, and a picture without a box is one.
        skeleton: the key points that are to be found in them.
        frames: of a video, at most so many.

    Raises:
        DataError: no such path; no picture; a faulty file.
    """
    path = Path(given)
    if not path.exists():
        raise DataError(f"no file or folder at {path}", "pictures without labels", "check the path")
    if path.is_file() and is_video(path):
        files, notes = frames_of(path, frames)
        boxes: Boxes = {file: [] for file in files}
    else:
        boxes, notes = _of_coco(path) if path.suffix.lower() == ".json" else _of_folder(path)
    if not boxes:
        raise DataError(f"{path} without pictures", "at least one picture", "check the path")
    table = table_of_boxes(boxes, skeleton)
    count = len(set(table.column("image")))
    table.notes = [f"{counted(count, 'picture')} without labels: {path}", *notes, *table.notes]
    return table


Boxes = dict[Path, list[list[float]]]
"""Picture to its boxes, x, y, width, height in pixels; none: the whole picture is one instance."""


def _of_folder(path: Path) -> tuple[Boxes, list[str]]:
    note = left_out_note(path)
    return {file: [] for file in find_images(path)}, [note] if note else []


def _of_coco(path: Path) -> tuple[Boxes, list[str]]:
    values = load_json(path)
    images = values.get("images") if isinstance(values, dict) else None
    if not isinstance(images, list) or not all(isinstance(i, dict) and i.get("file_name") for i in images):
        raise DataError(f"{path} without `images` that have a `file_name`", "a COCO file", "check the path")
    names = [str(image["file_name"]) for image in images]
    places = [find_pictures(names, folder) for folder in list(path.absolute().parents)[:_UPWARDS]]
    best = max(range(len(places)), key=lambda i: sum(places[i].is_there))
    root, found = list(path.absolute().parents)[best], places[best]
    files = {image.get("id"): root / name for image, name, is_there in
             zip(images, found.names, found.is_there, strict=True) if is_there}  # fmt: skip
    if not files:
        raise DataError(
            f"{path}, of whose {counted(len(names), 'picture')} none is there",
            f"pictures beside it, such as {names[0]}",
            "copy the file beside its pictures",
        )  # fmt: skip
    boxes: Boxes = {file: [] for file in files.values()}
    faulty = 0
    for item in values.get("annotations") or []:
        file = files.get(item.get("image_id")) if isinstance(item, dict) else None
        if file is None or item.get("iscrowd"):
            continue
        box = _box(item.get("bbox"))
        faulty += box is None
        boxes[file] += [] if box is None else [box]
    missing = len(names) - len(files)
    notes = []
    if missing:
        pictures = f"{counted(len(names), 'picture')} of {path.name}"
        notes.append(f"{missing} of {pictures} {plural(missing, 'is', 'are')} not there: left out")
    notes += [f"{counted(faulty, 'annotation')} without a box that has an area: left out"] if faulty else []
    return boxes, notes


def _box(given: Any) -> list[float] | None:
    is_box = isinstance(given, list) and len(given) == 4 and all(type(v) in (int, float) for v in given)
    if not is_box or not all(abs(v) < 1e9 for v in given) or given[2] <= 0 or given[3] <= 0:
        return None
    return [float(value) for value in given]


def table_of_boxes(boxes: Mapping[Path, list[list[float]]], skeleton: Skeleton) -> PoseTable:
    """Returns the table of pictures and their boxes, without a key point.

    Args:
        boxes: picture to its boxes, x, y, width, height in pixels; none: the whole picture is one instance.
        skeleton: the key points that are to be found in them.

    Returns:
        The table. Its notes count the pictures that cannot be read, which are left out.

    Raises:
        DataError: no picture can be read.
    """
    files = list(boxes)
    images, annotations, broken = [], [], []
    for number, (file, header) in enumerate(zip(files, read_headers(files), strict=True), start=1):
        if isinstance(header, DataError):
            broken.append(header)
            continue
        width, height = header.upright
        images.append({"id": number, "file_name": os.path.normpath(file.absolute()), "width": width, "height": height})
        for box in boxes[file] or [[0.0, 0.0, float(width), float(height)]]:
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box, "iscrowd": 0,
                "area": box[2] * box[3], "keypoints": [0] * 3 * len(skeleton.keypoints), "num_keypoints": 0,
            })  # fmt: skip
    if broken and not images:
        raise broken[0]
    category = {"id": 1, "name": "instance", "keypoints": list(skeleton.keypoints)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "unlabelled.json"
        values = {"images": images, "annotations": annotations, "categories": [category]}
        file.write_text(json.dumps(values), encoding="utf-8")
        table = read_coco(file, folder, skeleton=skeleton, require_keypoints=False, anywhere=True, box_format="xywh")
    left = f"{len(broken)} of {counted(len(files), 'picture')} cannot be read and {plural(len(broken), 'is', 'are')}"
    table.notes = [f"{left} left out (such as {broken[0].given})"] if broken else []
    return table
