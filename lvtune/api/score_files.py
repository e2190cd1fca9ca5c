"""Writes the files of ``evaluate --out``: COCO results, a CSV with one row a pose, DeepLabCut's table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lvtune.core.files import write_text
from lvtune.data.mixed import MixedTable
from lvtune.evaluation.oks import coco_results
from lvtune.evaluation.pixel_errors import distances
from lvtune.evaluation.scores import predictions_of
from lvtune.evaluation.task import Scores
from lvtune.prediction.pose_rows import CSV_FILE, DLC, DLC_CSV, DLC_H5, PoseRow, write_csv, write_dlc

if TYPE_CHECKING:
    from lvtune.data.table import PoseTable
    from lvtune.domains import Split

SCORES_FILE, RESULTS_FILE, TRUTH_FILE = "scores.json", "results.coco.json", "truth.coco.json"
DETECTED_FILE = "results-detector.coco.json"


def targets_of(folder: Path) -> list[Path]:
    """Returns the files with fixed names that an evaluation writes."""
    names = (SCORES_FILE, RESULTS_FILE, TRUTH_FILE, DETECTED_FILE, CSV_FILE, DLC_CSV, DLC_H5, "joints.csv", "pred.json")
    return [folder / name for name in names]


def write_scored(split: Split, scores: Scores, folder: Path, *, layout: str) -> list[str]:
    """Writes the predictions of a scored split.

    ``results.coco.json`` holds COCO results after rescoring and OKS-NMS, and ``truth.coco.json`` the annotations that
    were scored against: pycocotools' ``loadRes`` on the two gives the AP of the report (with the skeleton's sigmas).
    ``poses.csv`` has one row a pose, with its mean error in pixels. With detector boxes also
    ``results-detector.coco.json``. The files of a mixture's parts carry the part's name. Hands in 3D get the CSV alone.

    Args:
        split: what was scored.
        scores: its predictions.
        folder: existing folder.
        layout: ``plain``, or ``dlc`` for DeepLabCut's table too.

    Returns:
        Notes for the user.

    Raises:
        LvtuneError: the folder cannot be written.
    """
    rows = _rows(split, scores, folder)
    write_csv(rows, folder)
    if split.task == "pose2d":
        _write_results(cast("PoseTable | MixedTable", split.table), scores, folder, RESULTS_FILE)
        if split.detected is not None and scores.detected is not None:
            _write_results(split.detected, scores.detected, folder, DETECTED_FILE)
    if layout != DLC:
        return []
    pictures = list(dict.fromkeys(row.image for row in rows))
    return write_dlc(rows, pictures, folder)[1]


def _write_results(table: PoseTable | MixedTable, scores: Scores, folder: Path, name: str) -> None:
    parts = table.parts if isinstance(table, MixedTable) else {"": (table, np.arange(len(table)))}
    for part, (persons, places) in parts.items():
        prefix = "".join(letter if letter.isalnum() else "-" for letter in part) + "-" if part else ""
        category = _category_id(persons)
        found = coco_results(predictions_of(persons, scores.keypoints[places], scores.scores[places]), persons.skeleton)
        results = [{**one, "category_id": category} for one in found]
        write_text(folder / f"{prefix}{name}", json.dumps(results))
        if name == RESULTS_FILE:
            truth = _with_category(persons.coco_ground_truth(), category)
            write_text(folder / f"{prefix}{TRUTH_FILE}", json.dumps(truth))


def _category_id(table: PoseTable) -> int:
    """The id of the annotation file's category where it has one with key points; else 1."""
    ids = table.category_ids
    return int(ids[0]) if len(ids) == 1 else 1


def _with_category(truth: Mapping[str, Any], category: int) -> dict[str, Any]:
    return {
        **truth,
        "annotations": [{**one, "category_id": category} for one in truth["annotations"]],
        "categories": [{**one, "id": category} for one in truth["categories"]],
    }


def _rows(split: Split, scores: Scores, folder: Path) -> list[PoseRow]:
    table, names = split.table, split.table.skeleton.keypoints
    truth = table.column("keypoints")
    errors = distances(scores.keypoints, truth[..., :2], truth[..., 2])
    boxes = table.column("bbox")
    ids: Any = table.column("image_id") if split.task == "pose2d" else [None] * len(table)
    rows = []
    for i, category in enumerate(table.column("category")):
        labelled = errors[i][~np.isnan(errors[i])]
        image = Path(os.path.relpath(table.image_path(i).absolute(), folder.absolute())).as_posix()
        error = float(labelled.mean()) if len(labelled) else None
        number = None if ids[i] is None else int(ids[i])
        rows.append(
            PoseRow(
                image, boxes[i], 1.0, names, scores.keypoints[i], scores.scores[i], number, str(category) or None,
                error=error,
            )
        )  # fmt: skip
    return rows
