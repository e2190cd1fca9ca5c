"""Files that a scoring of 3D hands writes: a table of joints, and FreiHAND's prediction file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.data.hand_joints import Root
from lvtune.evaluation.freihand_protocol import write_predictions


def write_hand_files(folder: Path, values: Mapping[str, Any], placed: np.ndarray, *, joint0: Root) -> list[Path]:
    """Writes ``joints.csv`` and ``pred.json`` into an existing folder.

    Args:
        folder: to write into.
        values: of :func:`lvtune.evaluation.hand_scores.score_hands`; without 3D labels there is no table.
        placed: (N, 21, 3) mm predicted in camera coordinates; not a number where the hand's size is unknown, which
            leaves ``pred.json`` out.
        joint0: what joint 0 is.

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
    if np.isfinite(placed).all():
        written.append(write_predictions(folder / "pred.json", placed, root=joint0))
    return written
