"""Writes the files of a scoring of 3D hands: a table of joints, and FreiHAND's prediction file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.data.hand_joints import Root
from lvtune.evaluation.freihand_protocol import write_predictions


def write_hand_files(folder: Path, values: Mapping[str, Any], absolute: np.ndarray, *, joint0: Root) -> list[Path]:
    """Writes ``joints.csv`` and ``pred.json`` into an existing folder.

    Args:
        folder: existing folder.
        values: from :func:`lvtune.evaluation.hand_scores.score_hands`; without 3D labels no table is written.
        absolute: (N, 21, 3) mm predicted in camera coordinates; with a NaN (a hand of unknown size) ``pred.json`` is
            not written.
        joint0: meaning of joint 0, palm or wrist.

    Returns:
        The files written.
    """
    written = []
    if values["hands"]:
        table = folder / "joints.csv"
        variants = values["per_joint"]
        with table.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["joint", *(f"epe_{name}_mm" for name in variants)])
            for joint in next(iter(variants.values())):
                found = (variants[name][joint] for name in variants)
                rows.writerow([joint, *("" if value is None else round(value, 3) for value in found)])
        written.append(table)
    if np.isfinite(absolute).all():
        written.append(write_predictions(folder / "pred.json", absolute, root=joint0))
    return written
