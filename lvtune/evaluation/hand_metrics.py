"""Every score of one run of 3D hands, under the name of its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lvtune.evaluation.epe import THRESHOLDS, VARIANTS, HandResult, epe
from lvtune.evaluation.freihand import freihand_scores

_SHORT = ("epe", "epe_median", "auc")


def hand_scores(
    relative: np.ndarray,
    truth: np.ndarray,
    placed: np.ndarray | None,
    keypoints: Sequence[str],
    visible: np.ndarray | None = None,
) -> dict[str, Any]:
    """Scores in JSON types; lengths in mm, AUC, PCK and F-scores in percent. None where there is no 3D label.

    Args:
        relative: (N, K, 3) mm predicted relative to joint 0, in the true size.
        truth: (N, K, 3) mm in camera coordinates; not a number where it is not known.
        placed: (N, K, 3) mm predicted in camera coordinates; None: not predicted.
        keypoints: K names.
        visible: (N, K), above 0 where a joint counts; None: all.

    Returns:
        ``epe``, ``epe_median``, ``auc`` of ``root_gtscale`` (the default variant) and ``epe_procrustes``,
        ``auc_procrustes``; ``f@5`` and ``f@15`` of the FreiHAND protocol, aligned; ``variants`` {name: epe,
        epe_median, auc}; ``freihand`` {raw, aligned: the same and f@5, f@15}, over joints and, without ``placed``,
        None for raw; ``per_joint`` {joint: epe} of the default variant and ``per_joint_of`` {variant: the same};
        ``pck_curve`` {mm: thresholds, variant: percent}; ``hands``, how many have a label.

    Raises:
        LvtuneError: shapes that do not fit, or predictions that are no numbers.
    """
    result = HandResult(np.asarray(truth, float), np.asarray(relative, float), placed, visible)
    found = {name: epe(result, name) for name in VARIANTS}
    known = np.isfinite(result.truth).all((1, 2))
    protocol = {"raw": None, "aligned": None}
    if known.any():
        points = result.relative if placed is None else np.asarray(placed, float)
        scores = freihand_scores(points[known], result.truth[known])
        protocol = {name: {h: values[h] for h in (*_SHORT, "f@5", "f@15")} for name, values in scores.items()}
        if placed is None:
            protocol["raw"] = None
    first, aligned = found["root_gtscale"], found["procrustes"]
    per_joint = {
        name: dict(zip(keypoints, values["per_joint"], strict=True)) for name, values in found.items() if values
    }
    curves = {name: values["pck"].round(4).tolist() for name, values in found.items() if values and known.any()}
    return {
        **{name: first[name] for name in _SHORT},
        "epe_procrustes": aligned["epe"],
        "auc_procrustes": aligned["auc"],
        **{name: protocol["aligned"] and protocol["aligned"][name] for name in ("f@5", "f@15")},
        "variants": {name: values and {h: values[h] for h in _SHORT} for name, values in found.items()},
        "freihand": protocol,
        "per_joint": per_joint["root_gtscale"],
        "per_joint_of": per_joint,
        "pck_curve": {"mm": THRESHOLDS.round(4).tolist(), **curves},
        "hands": int(result.counted.any(1).sum()),
    }
