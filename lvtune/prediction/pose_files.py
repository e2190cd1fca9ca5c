"""Writes the result files of ``predict`` from the journal of a finished run, pose after pose."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.files import write_parts
from lvtune.prediction.dlc_video import write_dlc_of_video
from lvtune.prediction.finished_run import FinishedRun, register_format
from lvtune.prediction.frames import Frame
from lvtune.prediction.journal import JOURNAL_FILE
from lvtune.prediction.overlay_video import OVERLAY_FILE
from lvtune.prediction.pose import Pose
from lvtune.prediction.pose_rows import CSV_FILE, DLC, DLC_CSV, DLC_H5, PLAIN, write_csv_rows, write_dlc
from lvtune.prediction.sleap_file import SLEAP_FILE

POSES_FILE, RESULTS_FILE, SUMMARY_FILE = "poses.json", "results.coco.json", "summary.json"


def targets_of(folder: Path) -> list[Path]:
    """Returns the files with fixed names that a run may write."""
    names = (POSES_FILE, CSV_FILE, RESULTS_FILE, SUMMARY_FILE, JOURNAL_FILE, DLC_CSV, DLC_H5, SLEAP_FILE, OVERLAY_FILE)
    return [folder / name for name in names]


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
    if run.is_video:
        return write_dlc_of_video(run)
    pictures = [in_project(run.path_of(result.frame)) for result in run.results()]
    rows = [replace(row, image=in_project(row.image)) for row in run.rows()]
    return write_dlc(rows, pictures, run.folder)[1]


def in_project(path: str) -> str:
    """Returns a path as DeepLabCut's own tables have it, ``labeled-data/VIDEO/PICTURE``, if it leads into a project."""
    parts = path.replace("\\", "/").split("/")
    return "/".join(parts[-3:]) if len(parts) >= 3 and parts[-3] == "labeled-data" else path


def coco_result(pose: Pose, image_id: int) -> dict[str, Any]:
    """Returns a COCO result: ``image_id``, ``category_id`` 1, ``keypoints`` (x, y, score), ``score``, ``file_name``."""
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": _coco_points(pose),
        "score": pose.score,
        "file_name": pose.image,
    }


def _coco_points(pose: Pose) -> list[float]:
    """x, y, score of each key point; zeros where it was left out."""
    points = np.column_stack([pose.keypoints, pose.scores]).astype(float)
    return np.where(np.isfinite(points).all(1, keepdims=True), points, 0.0).reshape(-1).tolist()


def image_ids(
    pictures: Sequence[Path] | None, known: Mapping[Path, int], is_video: bool = False
) -> tuple[Callable[[Frame], int], list[str]]:
    """Chooses COCO's image ids: those of the box file, else the pictures' names where they are numbers, else 1, 2, ...

    Args:
        pictures: of all frames, or None where nobody knows.
        known: picture to its id in the box file.
        is_video: frame numbers are the ids.

    Returns:
        A function from a frame to its id, and notes for the user.
    """
    if known:
        largest = max(known.values())
        return lambda frame: known.get(frame.picture, largest + 1 + frame.index), []
    if is_video:
        note = f"{RESULTS_FILE}: image_id is the frame number, from 0"
        return lambda frame: frame.index if frame.number is None else frame.number, [note]
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
