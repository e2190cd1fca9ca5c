"""Writes the result files of ``predict`` from the journal of a finished run, pose after pose.

A format is a function from a :class:`FinishedRun` to notes for the user; :func:`register_format` adds one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.files import write_parts
from lvtune.core.registry import Registry
from lvtune.data.skeletons import Skeleton
from lvtune.evaluation.oks import rescore
from lvtune.prediction.frames import Frame
from lvtune.prediction.journal import JOURNAL_FILE
from lvtune.prediction.pose import FramePoses, Pose
from lvtune.prediction.pose_rows import CSV_FILE, DLC, DLC_CSV, DLC_H5, PLAIN, PoseRow, write_csv_rows, write_dlc

POSES_FILE, RESULTS_FILE, SUMMARY_FILE = "poses.json", "results.coco.json", "summary.json"


@dataclass(frozen=True)
class FinishedRun:
    """What the files are written from."""

    folder: Path
    """Existing output folder."""
    results: Callable[[], Iterable[FramePoses]]
    """Reads all results again, frame by frame, without pixels."""
    skeletons: Sequence[Skeleton]
    """That poses may have."""
    image_id: Callable[[Frame], int]
    """COCO's image id of a frame."""
    is_video: bool = False
    """True if frames have numbers and times."""

    def poses(self) -> Iterator[tuple[Frame, Pose]]:
        """All poses with their frames, in order."""
        return ((result.frame, pose) for result in self.results() for pose in result)

    def rows(self) -> Iterator[PoseRow]:
        """All poses as rows of tables, in order."""
        return (self.row(frame, pose) for frame, pose in self.poses())

    def row(self, frame: Frame, pose: Pose) -> PoseRow:
        """One pose as a row."""
        return PoseRow(
            self.path_of(frame), pose.bbox, pose.box_score, pose.skeleton.keypoints, pose.keypoints, pose.scores,
            self.image_id(frame), pose.category, pose.adapter or None, frame=pose.frame, time=pose.time,
            track=pose.track,
        )  # fmt: skip

    def path_of(self, frame: Frame) -> str:
        """The frame's path from the output folder, as other tools look for it; made-up names stay as they are."""
        path = Path(frame.image)
        return _from_folder(path, self.folder) if path.exists() else frame.image

    @property
    def keypoints(self) -> list[str]:
        """Names of all key points that poses may have."""
        return list(dict.fromkeys(name for skeleton in self.skeletons for name in skeleton.keypoints))


Writer = Callable[[FinishedRun], list[str]]
FORMATS: Registry[Writer] = Registry("format", "lvtune predict --help")
"""Writers of result files; ``plain`` is always written."""
register_format = FORMATS.register


def targets_of(folder: Path) -> list[Path]:
    """Returns the files with fixed names that a run may write."""
    names = (POSES_FILE, CSV_FILE, RESULTS_FILE, SUMMARY_FILE, JOURNAL_FILE, DLC_CSV, DLC_H5)
    return [folder / name for name in names]


def formats_of(layout: str) -> list[str]:
    """Returns the formats that a word such as ``dlc`` or ``dlc,plain`` names, ``plain`` first.

    Raises:
        UsageError: no such format.
    """
    names = [name.strip() for name in layout.split(",") if name.strip()]
    for name in names:
        FORMATS.get(name)
    return list(dict.fromkeys([PLAIN, *names]))


@register_format(PLAIN)
def write_plain(run: FinishedRun) -> list[str]:
    """Writes ``poses.json``, ``poses.csv`` and ``results.coco.json``; pycocotools' ``loadRes`` reads the last one."""
    used = list(dict.fromkeys(name for _, pose in run.poses() for name in pose.skeleton.keypoints))
    write_parts(run.folder / POSES_FILE, _json_list((pose.to_dict() for _, pose in run.poses()), indent=1))
    write_csv_rows(run.rows(), used, run.folder, with_track=run.is_video)
    results = (coco_result(pose, run.image_id(frame)) for frame, pose in run.poses())
    write_parts(run.folder / RESULTS_FILE, _json_list(results))
    return []


@register_format(DLC)
def write_dlc_table(run: FinishedRun) -> list[str]:
    """Writes DeepLabCut's table, which is made in memory."""
    pictures = [run.path_of(result.frame) for result in run.results()]
    return write_dlc(list(run.rows()), pictures, run.folder)[1]


def coco_result(pose: Pose, image_id: int) -> dict[str, Any]:
    """Returns a COCO result: ``image_id``, ``category_id`` 1, ``keypoints`` (x, y, score), ``score``, ``file_name``."""
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": np.column_stack([pose.keypoints, pose.scores]).astype(float).reshape(-1).tolist(),
        "score": float(rescore(np.array([pose.box_score]), np.asarray(pose.scores)[None])[0]),
        "file_name": pose.image,
    }


def image_ids(pictures: Sequence[Path] | None, known: Mapping[Path, int]) -> tuple[Callable[[Frame], int], list[str]]:
    """Chooses COCO's image ids: those of the box file, else the pictures' names where they are numbers, else 1, 2, ...

    Args:
        pictures: of all frames, or None where nobody knows.
        known: picture to its id in the box file.

    Returns:
        A function from a frame to its id, and notes for the user.
    """
    if known:
        largest = max(known.values())
        return lambda frame: known.get(frame.picture, largest + 1 + frame.index), []
    stems = [picture.stem for picture in pictures or ()]
    if stems and all(stem.isdigit() for stem in stems) and len({int(stem) for stem in stems}) == len(stems):
        return lambda frame: int(frame.picture.stem), []
    note = f"{RESULTS_FILE}: image_id counts the pictures from 1 in their order; each entry has its file_name"
    return lambda frame: frame.index + 1, [note]


def _json_list(values: Iterable[Any], indent: int | None = None) -> Iterator[str]:
    """The text of ``json.dumps(list(values), indent=indent)``, value after value."""
    walk = iter(values)
    first = next(walk, None)
    if first is None:
        yield "[]"
        return
    start, between, end = ("[\n", ",\n", "\n]") if indent else ("[", ", ", "]")
    for place, value in enumerate(chain([first], walk)):
        text = json.dumps(value, indent=indent)
        if indent:
            text = "\n".join(" " * indent + line for line in text.split("\n"))
        yield (start if place == 0 else between) + text
    yield end


def _from_folder(picture: Path, folder: Path) -> str:
    """The picture's path from the output folder; absolute on another drive."""
    try:
        return Path(os.path.relpath(picture.absolute(), folder.absolute())).as_posix()
    except ValueError:
        return picture.absolute().as_posix()
