"""What scores are called, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRICS = {
    "pck@0.2": "PCK@0.2",
    "pck@0.5": "PCK@0.5",
    "ap": "OKS-AP",
    "auc@50": "AUC 0-50 mm",
    "epe": "EPE (mm)",
    "epe_procrustes": "EPE, Procrustes (mm)",
    "auc@50_procrustes": "AUC 0-50 mm, Procrustes",
    "f@5": "F@5 mm, Procrustes",
    "f@15": "F@15 mm, Procrustes",
}
"""Key in a report to its name; in percent where no unit stands."""
LESS_IS_BETTER = frozenset({"epe", "epe_procrustes"})
MEANING = {
    "pck@0.2": "PCK@0.2: key points within 0.2 of the torso's length.",
    "auc@50": "EPE: mean distance of the joints, root at the origin and in the true size. AUC: area under the curve of "
    "joints within 0 to 50 mm.",
}
"""Key of a main score to what its scores mean."""
PER_JOINT = {"pck@0.2": ("PCK@0.2 in percent", False), "auc@50": ("EPE in mm", True)}
"""Key of a main score to what is told of each key point, and whether less of that is better."""


def main_of(report: Mapping[str, Any]) -> str:
    """Key of the score that a report tells gap and retention in."""
    return report.get("main") or "pck@0.2"


def short_name(metric: str) -> str:
    """A score's name in tables of the terminal: ``PCK@0.2``, ``AP``, ``EPE (mm)``."""
    return metric.replace("pck", "PCK").replace("ap", "AP") if metric.startswith(("pck", "ap")) else METRICS[metric]


IMITATIONS = {
    "filter": (
        "Filtered photographs",
        "The target pictures are photographs drawn over by filters, not works of art: the figures show that "
        "adapting works, not how well this adapter does on real drawings and paintings.",
    ),
    "rendered": (
        "Rendered figures",
        "The target pictures are figures drawn by a program, not photographs: the scores show that training and "
        "adapting work, not how well this adapter does on real hands.",
    ),
}
"""Word in the name of data that imitate their domain to what they are, and what is to be said of them."""


def imitation(report: Mapping[str, Any]) -> tuple[str, str] | None:
    """What the target pictures are, and what that means, where they imitate their domain: their name says so."""
    name = str(report.get("target_name") or "").lower()
    return next((told for word, told in IMITATIONS.items() if word in name), None)


def without_nulls(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without the options that are None, which is what they are when they are not given."""
    nested = {key: without_nulls(v) if isinstance(v, Mapping) else v for key, v in recipe.items()}
    return {key: value for key, value in nested.items() if value is not None and value != {}}
