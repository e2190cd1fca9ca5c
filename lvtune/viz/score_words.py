"""Names and units of scores on a page, and the reason where a score is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lvtune.evaluation.metrics import METRICS, is_less_better, metric_name, unit_of
from lvtune.viz.page import is_number

Report = Mapping[str, Any]

__all__ = [
    "WHEN",
    "Report",
    "explanations",
    "is_less_better",
    "late_words",
    "metrics_of",
    "name_of",
    "reason",
    "score",
    "title_of",
    "unit_of",
    "unscored",
]

WHEN = {"before": "base alone", "after_on": "adapter on", "after_off": "adapter off"}
"""Key of a side of the report to the words for it on a page."""


def name_of(metric: str, report: Report | None = None, where: str = "target") -> str:
    """Returns a score's name without its unit; with the report, also by what PCK is normalised and how AP is made."""
    full = metric_name(metric, report, where)
    if full == metric and metric.startswith("ap"):
        full = metric.replace("ap", "OKS-AP", 1)
    return full.removesuffix(f" ({unit_of(metric)})")


def title_of(metric: str, report: Report | None = None, where: str = "target") -> str:
    """Returns a score's name with its unit: ``PCK@0.2 of the torso (%)``."""
    return f"{name_of(metric, report, where)} ({unit_of(metric)})"


def score(report: Report, where: str, when: str, metric: str) -> float | None:
    """Returns one score of a report; None where it is missing.

    Args:
        report: ``report.json``.
        where: ``target`` or ``source``.
        when: key of ``WHEN``.
        metric: key of the score.
    """
    value = ((report.get(where) or {}).get(when) or {}).get(metric)
    return value if is_number(value) else None


def metrics_of(report: Report, where: str) -> list[str]:
    """Returns the keys of all scores that a side of the report has a value of, in the order of ``METRICS``."""
    side = report.get(where) or {}
    found = {key for when in WHEN for key, value in (side.get(when) or {}).items() if is_number(value)}
    known = [key for key in METRICS if key in found]
    return known + sorted(found - set(known))


def reason(report: Report, where: str, when: str, metric: str) -> str:
    """Returns why a score is missing, as the report says it; else what follows from the report as a whole."""
    side, known = report.get(where) or {}, report.get("reasons") or {}
    values = side.get(when) or {}
    for place in (f"{where}.{when}.{metric}", f"{where}.{when}", where):
        if known.get(place):
            return str(known[place])
    for reasons in (values.get("reasons"), side.get("reasons")):
        if isinstance(reasons, Mapping) and reasons.get(metric):
            return str(reasons[metric])
    if not values:
        who = "the adapter does" if when == "after_on" else "the base alone does"
        return f"{who} not predict the key points of these pictures"
    return "these pictures lack the labels that the score needs"


def unscored(report: Report, where: str) -> str:
    """Returns why a whole side of the report has no score."""
    known = report.get("reasons") or {}
    why = known.get(where) or known.get(f"{where}.after_on") or known.get(f"{where}.before")
    if why:
        return f"not scored: {why}"
    if where == "source" and not report.get("source_name"):
        return "not scored, because the domain has no source pictures"
    return "not scored, because neither base nor adapter predicts the key points of these pictures"


def explanations(gaps: Mapping[tuple[str, str, str], str]) -> Iterator[str]:
    """Yields one line for each reason: what is missing, and why.

    Args:
        gaps: (side, when, name of the score) to reason.
    """
    by_reason: dict[tuple[str, str, str], list[str]] = {}
    for (where, when, name), why in gaps.items():
        by_reason.setdefault((where, when, why), []).append(name)
    for (where, when, why), names in by_reason.items():
        yield f"{where.capitalize()}, {when}: no {', '.join(names)}, because {why}."


def late_words(late: float) -> str:
    """Returns what ``--keep`` leaves of a change in the late parts beside the others; empty where all are alike.

    Args:
        late: factor on the share there.
    """
    where = "the last third of the blocks and the predictor"
    if late == 1:
        return ""
    return f"nothing of it in {where}" if late == 0 else f"{late:g} of that in {where}"
