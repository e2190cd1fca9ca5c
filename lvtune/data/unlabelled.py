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
from lvtune.data.coco_pool import Boxes, boxes_of_coco
from lvtune.data.find_images import find_images, left_out_note
from lvtune.data.frames_of_video import MOST_FRAMES, frames_of
from lvtune.data.picture_headers import read_headers
from lvtune.data.pose_table import PoseTable
from lvtune.data.skeletons import Skeleton
from lvtune.data.table import read_coco
from lvtune.data.video_frames import is_video

_EDGE = 1.0
"""Pixels by which a box may reach out of its picture without a note: rounding does that."""


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
            or a COCO file (:func:`lvtune.data.coco_pool.boxes_of_coco`).
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
        boxes, notes = boxes_of_coco(path) if path.suffix.lower() == ".json" else _of_folder(path)
    if not boxes:
        raise DataError(f"{path} without pictures", "at least one picture", "check the path")
    table = table_of_boxes(boxes, skeleton)
    count = len(set(table.column("image")))
    table.notes = [f"{counted(count, 'picture')} without labels: {path}", *notes, *table.notes]
    return table


def _of_folder(path: Path) -> tuple[Boxes, list[str]]:
    note = left_out_note(path)
    return {file: [] for file in find_images(path)}, [note] if note else []


def table_of_boxes(boxes: Mapping[Path, list[list[float]]], skeleton: Skeleton) -> PoseTable:
    """Returns the table of pictures and their boxes, without a key point.

    Args:
        boxes: picture to its boxes, x, y, width, height in pixels; none: the whole picture is one instance.
        skeleton: the key points that are to be found in them.

    Returns:
        The table. Its notes count what is left out: pictures that cannot be read, boxes outside of their pictures, and
        pictures that have no other box.

    Raises:
        DataError: no picture can be read; every box lies outside of its picture.
    """
    files = list(boxes)
    sizes: dict[Path, tuple[int, int]] = {}
    broken: list[DataError] = []
    for file, header in zip(files, read_headers(files), strict=True):
        if isinstance(header, DataError):
            broken.append(header)
        else:
            sizes[file] = header.upright
    if broken and not sizes:
        raise broken[0]
    inside, notes = _inside(boxes, sizes)
    images, annotations = [], []
    for number, (file, own) in enumerate(inside.items(), start=1):
        width, height = sizes[file]
        images.append({"id": number, "file_name": os.path.normpath(file.absolute()), "width": width, "height": height})
        for box in own or [[0.0, 0.0, float(width), float(height)]]:
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box, "iscrowd": 0,
                "area": box[2] * box[3], "keypoints": [0] * 3 * len(skeleton.keypoints), "num_keypoints": 0,
            })  # fmt: skip
    category = {"id": 1, "name": "instance", "keypoints": list(skeleton.keypoints)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "unlabelled.json"
        values = {"images": images, "annotations": annotations, "categories": [category]}
        file.write_text(json.dumps(values), encoding="utf-8")
        table = read_coco(file, folder, skeleton=skeleton, require_keypoints=False, anywhere=True, box_format="xywh")
    left = f"{len(broken)} of {counted(len(files), 'picture')} cannot be read and {plural(len(broken), 'is', 'are')}"
    told = [f"{left} left out (such as {broken[0].given})"] if broken else []
    # that the boxes are read as asked for is said of every table, and the user did not ask
    table.notes = [*told, *notes, *(note for note in table.notes if not note.startswith("annotated boxes read as"))]
    return table


def _inside(boxes: Mapping[Path, list[list[float]]], sizes: Mapping[Path, tuple[int, int]]) -> tuple[Boxes, list[str]]:
    """The pictures of known size with the boxes that touch them, and what is to be said of the other boxes.

    A picture is left out if all its boxes lie outside of it: whole, it would be what nobody asked for.
    """
    found: Boxes = {}
    lost: list[Path] = []
    outside = cut = 0
    for file, (width, height) in sizes.items():
        own = [box for box in boxes[file] if box[0] < width and box[1] < height]
        own = [box for box in own if box[0] + box[2] > 0 and box[1] + box[3] > 0]
        outside += len(boxes[file]) - len(own)
        cut += sum(min(box[0], box[1], width - box[0] - box[2], height - box[1] - box[3]) < -_EDGE for box in own)
        if boxes[file] and not own:
            lost.append(file)
        else:
            found[file] = own
    notes = []
    if outside:
        whose = plural(outside, "its picture", "their pictures")
        notes.append(f"{counted(outside, 'box', 'boxes')} outside of {whose}: left out")
    if lost:
        notes.append(f"{counted(len(lost), 'picture')} left out: every box lies outside (such as {lost[0].name})")
    if cut:
        reach = counted(cut, "box reaches out of its picture", "boxes reach out of their pictures")
        notes.append(f"{reach}: cut at {plural(cut, 'its edge', 'their edges')}")
    if not found:
        raise DataError(f"no picture to use ({'; '.join(notes)})", "boxes x, y, width, height in pixels of the picture",
                        "correct `bbox`, or give the folder of the pictures: each is then taken whole")  # fmt: skip
    return found, notes
