"""Writes the results of ``predict``: drawn pictures, JSON, CSV, COCO results and DeepLabCut's table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.api.hand_results import draw_all
from lvtune.api.output_folder import drawing_paths, make_folder
from lvtune.api.pose import Pose, Poses
from lvtune.api.pose_rows import CSV_FILE, DLC, DLC_CSV, DLC_H5, PoseRow, write_csv, write_dlc
from lvtune.core.files import write_atomically, write_text
from lvtune.data.images import read_image
from lvtune.evaluation.oks import rescore

POSES_FILE, RESULTS_FILE = "poses.json", "results.coco.json"


def targets_of(folder: Path) -> list[Path]:
    """Returns the files with fixed names that :func:`write_poses` may write."""
    return [folder / name for name in (POSES_FILE, CSV_FILE, RESULTS_FILE, DLC_CSV, DLC_H5)]


def write_poses(poses: Poses, folder: Path, relative: Mapping[Path, Path], *, layout: str) -> list[str]:
    """Writes each picture with its poses drawn, under its relative path, and the tables.

    ``poses.json``, ``poses.csv`` (one row a pose), ``results.coco.json`` (pycocotools' ``loadRes`` reads it) and, with
    the layout ``dlc``, DeepLabCut's table. Every file is replaced in one step.

    Args:
        poses: of :func:`lvtune.predict`.
        folder: made where it does not exist.
        relative: picture to its path relative to the folder that was given.
        layout: ``plain`` or ``dlc``.

    Returns:
        Notes for the user.

    Raises:
        LvtuneError: the folder cannot be written.
    """
    make_folder(folder)
    drawings = drawing_paths(relative)
    by_picture: dict[str, list[Pose]] = {}
    for pose in poses:
        by_picture.setdefault(pose.image, []).append(pose)
    for picture in poses.pictures:
        if str(picture) in by_picture:
            image = draw_all(read_image(picture), by_picture[str(picture)])
            write_atomically(folder / drawings[picture], _png(image))
    write_text(folder / POSES_FILE, json.dumps([pose.to_dict() for pose in poses], indent=1))
    ids, notes = _image_ids(poses)
    rows = [_row(pose, folder, ids) for pose in poses]
    write_csv(rows, folder)
    write_text(folder / RESULTS_FILE, json.dumps(coco_results_of(poses, ids)))
    if layout == DLC:
        _, more = write_dlc(rows, [_from_folder(picture, folder) for picture in poses.pictures], folder)
        notes += more
    return notes


def coco_results_of(poses: Sequence[Pose], ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """Returns COCO results: ``image_id``, ``category_id`` 1, ``keypoints`` (x, y, score), ``score``, ``file_name``.

    Args:
        poses: of any pictures.
        ids: picture to its image id.
    """
    return [
        {
            "image_id": ids[pose.image],
            "category_id": 1,
            "keypoints": _coco_points(pose),
            "score": _coco_score(pose),
            "file_name": pose.image,
        }
        for pose in poses
    ]


def _coco_points(pose: Pose) -> list[float]:
    """x, y, score of each key point; zeros where it was left out."""
    points = np.column_stack([pose.keypoints, pose.scores]).astype(float)
    return np.where(np.isfinite(points).all(1, keepdims=True), points, 0.0).reshape(-1).tolist()


def _coco_score(pose: Pose) -> float:
    """The box's score times the expected OKS, or where the adapter is not calibrated, times the mean as in MMPose."""
    if pose.expected_oks is not None:
        return pose.box_score * pose.expected_oks
    return float(rescore(np.array([pose.box_score]), pose.scores[None])[0])


def _image_ids(poses: Poses) -> tuple[dict[str, int], list[str]]:
    """Image ids of the box file, else the pictures' names where they are numbers, else 1, 2, ..."""
    files, used = poses.pictures, {Path(pose.image) for pose in poses}
    if used and used <= set(poses.image_ids):
        return {str(file): number for file, number in poses.image_ids.items()}, []
    numbers = [int(file.stem) for file in files if file.stem.isdigit()]
    if len(numbers) == len(set(numbers)) == len(files):
        return {str(file): int(file.stem) for file in files}, []
    note = f"{RESULTS_FILE}: image_id counts the pictures from 1 in their order; each entry has its file_name"
    return {str(file): i for i, file in enumerate(files, 1)}, [note]


def _row(pose: Pose, folder: Path, ids: Mapping[str, int]) -> PoseRow:
    return PoseRow(
        _from_folder(Path(pose.image), folder), pose.bbox, pose.box_score, pose.skeleton.keypoints, pose.keypoints,
        pose.scores, ids[pose.image], pose.category, pose.adapter or None,
    )  # fmt: skip


def _from_folder(picture: Path, folder: Path) -> str:
    """The picture's path from the output folder, as other tools look for it; absolute on another drive."""
    try:
        return Path(os.path.relpath(picture.absolute(), folder.absolute())).as_posix()
    except ValueError:
        return picture.absolute().as_posix()


def _png(image: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
