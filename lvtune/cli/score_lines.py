"""Formats scores: only those that exist, each with its unit, and the reason for each missing one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvtune.cli.output import number, table
from lvtune.core.text import counted
from lvtune.evaluation.metrics import METRICS, PER_JOINT, main_of, scoring_of_side, short_name

WHEN = {"before": "before", "after_on": "adapter on", "after_off": "adapter off"}
_HEAD = "percent, or px"
_WORDS = {"before": "before", "after_on": "with the adapter on", "after_off": "with the adapter off"}


def adapted_text(values: Mapping[str, Any]) -> str:
    """Returns the scores of a report: one row for each score; columns for before, adapter on and adapter off if scored.

    Target and source share a table if they have the same columns.
    """
    tables: dict[tuple[str, ...], list[list[Any]]] = {}
    for where in ("target", "source"):
        side = values.get(where) or {}
        shown = tuple(when for when in WHEN if side.get(when))
        scores = [side[when] for when in shown]
        for metric in dict.fromkeys(name for one in scores for name, value in one.items() if _is_figure(value)):
            row = [f"{where} {short_name(metric, values, where)}", *(one.get(metric) for one in scores)]
            tables.setdefault(shown, []).append(row)
    unit = "percent, or mm" if main_of(values) == "auc@50" else _HEAD
    parts = [table([unit, *(WHEN[when] for when in shown)], rows) for shown, rows in tables.items()] or ["no scores"]
    on = (values.get("target") or {}).get("after_on") or {}
    is_px = main_of(values) == "px_mean"
    parts.append(keypoint_table(values, on.get("px_per_keypoint")) if is_px else "")
    parts.append(shared_table(values.get("shared") or {}))
    return "\n\n".join(part for part in [*parts, *remarks(values, on)] if part)


def shared_table(shared: Mapping[str, Any]) -> str:
    """Returns the scores on the key points that base and adapter share; "" where there are none."""
    parts = []
    for where, found in shared.items():
        rows = [
            [f"{where} {short_name(name, {}, where)}", value, (found.get("after_on") or {}).get(name)]
            for name, value in (found.get("before") or {}).items()
        ]
        head = f"on the {counted(len(found['keypoints']), 'key point')} that base and adapter share"
        parts.append(table([head, WHEN["before"], WHEN["after_on"]], rows))
    return "\n\n".join(parts)


def evaluated_text(values: Mapping[str, Any]) -> str:
    """Returns the scores of an evaluation: one row for target and source each, one column for each score.

    The scores with detector boxes and the figures of the key points are below.
    """
    sides = [(name, values[name]) for name in ("target", "source") if values.get(name)]
    metrics = [m for m in METRICS if any(_is_figure(side.get(m)) for _, side in sides)]
    counts = [count for count in ("instances", "hands") if count in sides[0][1]]
    rows = [[name, *(side.get(metric) for metric in (*metrics, *counts))] for name, side in sides]
    head = [_HEAD if counts != ["hands"] else "percent, or mm", *(short_name(m, values) for m in metrics), *counts]
    boxes = [
        [f"{name}, {boxes}", part["ap"]] for name, side in sides for boxes, part in side.get("protocols", {}).items()
    ]
    target = sides[0][1]
    parts = [
        table(head, rows),
        table(["percent", short_name("ap", values)], boxes) if boxes else "",
        keypoint_table(values, values["per_joint"]),
    ]
    return "\n\n".join(part for part in [*parts, *remarks(values, target)] if part)


def keypoint_table(values: Mapping[str, Any], figures: Mapping[str, float | None] | None) -> str:
    """Returns the figure of each key point, and below the names of those never labelled; "" if there are no figures."""
    known = {name: value for name, value in (figures or {}).items() if value is not None}
    if not known:
        return ""
    missing = [name for name in figures or {} if name not in known]
    lines = [table(["key point", PER_JOINT[main_of(values)][0]], [[name, value] for name, value in known.items()])]
    return "\n".join(lines + ([f"never labelled: {', '.join(missing)}"] if missing else []))


def remarks(values: Mapping[str, Any], scores: Mapping[str, Any]) -> list[str]:
    """Returns sentences on the confidence threshold, on how the scores are made, and on missing scores."""
    lines = [_cutoff(scores.get("px_cutoff")), *(scoring_of_side(values).get("notes", []))]
    skipped = scores.get("skipped")
    if skipped:
        by = scoring_of_side(values).get("pck_by")
        lines.append(
            f"PCK leaves out {skipped} of {counted(scores['instances'], 'instance')}: their {by} is not labelled"
        )
    return [*filter(None, lines), *_reasons(values.get("reasons") or {})]


def calibration_line(found: Mapping[str, Any] | None) -> str:
    """Returns one sentence on how good the calibrated confidence is; empty where there is none."""
    if not found or found.get("ece") is None:
        return ""
    words = (
        f"confidence: ECE {number(found['ece'])} % ({number(found['ece_raw'])} % of the heatmaps' maxima), "
        f"P(within {found['within']}); {number(found['in_radius'])} % of the points lie within their radius"
    )
    if found.get("fitted_here"):
        words += "; each fifth of the pictures was scored by a calibration of the others"
    if found.get("fitted_on"):
        words += f"; fitted on {found['fitted_on']}"
    if found.get("ap") is None or found.get("ap_raw") is None:
        return words
    return f"{words}; AP by expected OKS {number(found['ap'])}, by the mean of the maxima {number(found['ap_raw'])}"


def _cutoff(found: Mapping[str, Any] | None) -> str:
    if not found or found.get("share") is None:
        return ""
    share = f"{number(found['share'])} % of the labelled key points have a confidence of {found['p_cutoff']:g} or more"
    if found["px_mean"] is None:
        return share
    return f"{share}: mean error {number(found['px_mean'])} px, median {number(found['px_median'])} px"


def _reasons(reasons: Mapping[str, str]) -> list[str]:
    """Returns a sentence for each cause, with the scores that lack for it."""
    causes: dict[str, list[str]] = {}
    for place, why in reasons.items():
        causes.setdefault(why, []).append(_place(place))
    return [f"no score ({', '.join(dict.fromkeys(places))}): {why}" for why, places in causes.items()]


def _place(place: str) -> str:
    """Returns ``target.after_on.ap`` as ``target AP with the adapter on``."""
    side, *rest = place.split(".", 1)
    words = rest[0] if rest else ""
    when = next((name for name in WHEN if words.startswith(name)), "")
    score = words.removeprefix(when).strip(".")
    return " ".join(filter(None, (side, short_name(score) if score else "", _WORDS.get(when, ""))))


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
