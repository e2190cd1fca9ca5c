"""What scores are called, in which unit they are, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRICS = {
    "pck@0.2": "PCK@0.2",
    "pck@0.5": "PCK@0.5",
    "ap": "OKS-AP",
    "px_mean": "mean error (px)",
    "px_median": "median error (px)",
    "px_rms": "RMS error (px)",
    "auc@50": "AUC 0-50 mm",
    "epe": "EPE (mm)",
    "epe_procrustes": "EPE, Procrustes (mm)",
    "auc@50_procrustes": "AUC 0-50 mm, Procrustes",
    "f@5": "F@5 mm, Procrustes",
    "f@15": "F@15 mm, Procrustes",
}
"""Key in a report to its name; in percent where no unit stands."""
LESS_IS_BETTER = frozenset({"px_mean", "px_median", "px_rms", "epe", "epe_procrustes"})
MEANING = {
    "pck@0.2": "PCK@0.2: share of the key points whose error is at most 0.2 of the torso's length.",
    "px_mean": "Error: distance from the predicted to the labelled key point, in pixels of the original picture.",
    "auc@50": "EPE: mean distance of the joints, root at the origin and in the true size. AUC: area under the curve of "
    "joints within 0 to 50 mm.",
}
"""Key of a main score to what its scores mean."""
PER_JOINT = {
    "pck@0.2": ("PCK@0.2 in percent", False),
    "px_mean": ("mean error in px", True),
    "auc@50": ("EPE in mm", True),
}
"""Key of a main score to the figure of each key point, and whether less of it is better."""


SMALL_BOXES = 0.25
"""Median share of the picture below which an adapter's training boxes count as small: whole frames do not fit it."""


def main_of(report: Mapping[str, Any]) -> str:
    """Returns the key of a report's main score, which gap and retention are computed from."""
    return report.get("main") or "pck@0.2"


def is_less_better(metric: str) -> bool:
    """Returns True if a lower value of the score is the better one (errors)."""
    return metric in LESS_IS_BETTER


def goodness(metric: str, value: float | None) -> float:
    """Returns a number that grows as the score gets better; minus infinity where there is none. For ``max``."""
    if value is None:
        return float("-inf")
    return -value if is_less_better(metric) else value


def unit_of(metric: str) -> str:
    """Returns the unit of a score: ``px``, ``mm`` or ``%``."""
    if metric.startswith("px_"):
        return "px"
    return "mm" if metric.startswith("epe") else "%"


def scoring_of_side(report: Mapping[str, Any] | None, where: str = "target") -> Mapping[str, Any]:
    """Returns how the ``target`` or ``source`` of a report is scored; {} where the report does not say it.

    See :func:`lvtune.evaluation.scores.scoring_of` for the keys.
    """
    return ((report or {}).get("scoring") or {}).get(where) or {}


def metric_name(metric: str, report: Mapping[str, Any] | None = None, where: str = "target") -> str:
    """Returns a score's full name: ``PCK@0.2 of the torso``, ``AP (guessed sigmas)``, ``mean error (px)``.

    Args:
        metric: key in a report.
        report: says by what PCK is normalised, and whether the sigmas of OKS are guessed; without it the plain name.
        where: ``target`` or ``source``, whose key points may differ.
    """
    by = scoring_of_side(report, where).get("pck_by")
    if metric.startswith("pck@") and by:
        return f"{METRICS.get(metric, metric.replace('pck', 'PCK'))} of the {by}"
    if metric == "ap" and is_guessed(report, where):
        return "AP (guessed sigmas)"
    return METRICS.get(metric, metric)


def is_guessed(report: Mapping[str, Any] | None, where: str = "target") -> bool:
    """Returns True if the AP of a side was computed with guessed sigmas."""
    return bool((scoring_of_side(report, where).get("sigmas") or {}).get("guessed"))


def ahead_words(main: str) -> str:
    """Returns what "ahead" means in a comparison by the main score."""
    if is_less_better(main):
        return "Ahead: the first variant's error minus this one's, same pictures, same seed; more is better."
    return "Ahead: target score minus the first variant's, same pictures, same seed."


def short_name(metric: str, report: Mapping[str, Any] | None = None, where: str = "target") -> str:
    """Returns a score's name in tables of the terminal: ``PCK@0.2 of the torso``, ``AP``, ``EPE (mm)``."""
    if metric.startswith("ap"):
        return metric.replace("ap", "AP", 1) + (" (guessed sigmas)" if is_guessed(report, where) else "")
    return metric_name(metric, report, where)


def meaning_of(report: Mapping[str, Any]) -> str:
    """Returns one sentence that explains the main score of a report."""
    main, by = main_of(report), scoring_of_side(report).get("pck_by")
    if main == "pck@0.2" and by:
        return f"PCK@0.2: share of the key points whose error is at most 0.2 of the {by}'s length."
    return MEANING.get(main, "")


IMITATIONS = {
    "filter": (
        "Filtered photographs",
        "The target pictures are photographs under filters, not works of art. The scores show that adapting works. "
        "They do not show how well this adapter works on real drawings and paintings.",
    ),
    "rendered": (
        "Rendered figures",
        "The target pictures are figures drawn by a program, not photographs. The scores show that training and "
        "adapting work. They do not show how well this adapter works on real hands.",
    ),
}
"""Word in the name of data that imitate their domain to what they are, and a warning about their scores."""


def imitation(report: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns what the target pictures are, and a warning, where they imitate their domain; their name says so."""
    name = str(report.get("target_name") or "").lower()
    return next((texts for word, texts in IMITATIONS.items() if word in name), None)


def without_nulls(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a recipe without the options that are None, which is their value when they are not given."""
    nested = {key: without_nulls(v) if isinstance(v, Mapping) else v for key, v in recipe.items()}
    return {key: value for key, value in nested.items() if value is not None and value != {}}
