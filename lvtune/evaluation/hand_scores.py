"""Computes every score of one set of 3D hands, each under the name of its protocol."""

from __future__ import annotations

from typing import Any

import numpy as np

from lvtune.data.skeletons import HAND_21
from lvtune.evaluation.epe import THRESHOLDS, VARIANTS, HandResult, epe
from lvtune.evaluation.freihand_protocol import freihand_scores

_SHORT = ("epe", "epe_median", "auc")


def score_hands(result: HandResult) -> dict[str, Any]:
    """Scores hands, in JSON types: lengths in mm; AUC, PCK and F-scores from 0 to 1. None where there is no 3D label.

    Returns:
        ``epe``, ``epe_median``, ``auc`` of ``root_gtscale``, the default; ``variants`` {name: those three, or None
        where it cannot be computed}; ``freihand`` {raw, aligned: the same and f@5, f@15} over joints, raw None without
        absolute joints; ``per_joint`` {variant: {joint: epe}}; ``pck_curve`` {mm: thresholds, variant: shares};
        ``hands``, the number of hands that have a label.
    """
    found = {name: epe(result, name) for name in VARIANTS}
    had = {name: values for name, values in found.items() if values is not None}
    known = np.isfinite(result.truth).all((1, 2))
    protocol: dict[str, Any] | None = None
    if known.any():
        points = result.sized if result.absolute is None else result.absolute
        scores = freihand_scores(points[known], result.truth[known])
        protocol = {name: {h: values[h] for h in (*_SHORT, "f@5", "f@15")} for name, values in scores.items()}
        if result.absolute is None:
            protocol["raw"] = None
    joints = HAND_21.keypoints
    return {
        **{name: had["root_gtscale"][name] for name in _SHORT},
        "variants": {name: values and {h: values[h] for h in _SHORT} for name, values in found.items()},
        "freihand": protocol,
        "per_joint": {name: dict(zip(joints, values["per_joint"], strict=True)) for name, values in had.items()},
        "pck_curve": {
            "mm": THRESHOLDS.round(4).tolist(),
            **{name: None if v["pck"] is None else v["pck"].round(6).tolist() for name, v in had.items()},
        },
        "hands": int(result.counted.any(1).sum()),
    }
