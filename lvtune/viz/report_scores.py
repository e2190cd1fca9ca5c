"""The parts of the report page that hold scores: tables, the gap, where the gain comes from, and key points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from lvtune.core.text import counted
from lvtune.evaluation.metrics import PER_JOINT, main_of
from lvtune.viz.page import Cell, RowGroup, Table, change, is_number, number, percent, signed
from lvtune.viz.score_charts import KeyPoint, gain_chart, gap_chart, keypoint_chart
from lvtune.viz.score_words import (
    WHEN,
    Report,
    explanations,
    is_less_better,
    metrics_of,
    name_of,
    reason,
    score,
    title_of,
    unit_of,
    unscored,
)

MISSING = Cell("no score", "missing")


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores, and a line for every reason why one of them is missing."""

    table: Table
    missing: Sequence[str]


@dataclass(frozen=True)
class Gain:
    """Where tuning began, and which part of the gain comes from there."""

    text: str
    lines: Sequence[str]
    chart: Markup


@dataclass(frozen=True)
class KeyPoints:
    """One figure of every key point, before and with the adapter on."""

    title: str
    text: str
    chart: Markup
    table: Table
    missing: Sequence[str]


def score_table(report: Report) -> ScoreTable:
    """Builds the table of all scores, target and source."""
    head = ["", "base alone", "adapter on", "change", "adapter off", "kept, adapter on", "kept, adapter off"]
    groups, gaps = [], {}
    for where in ("target", "source"):
        name, metrics = report.get(f"{where}_name"), metrics_of(report, where)
        title = f"{where.capitalize()}: {name}" if name else where.capitalize()
        rows = [_score_row(report, where, metric, gaps) for metric in metrics]
        rows += _confident_rows(report, where)
        groups.append(RowGroup(title if metrics else f"{title} ({unscored(report, where)})", rows))
    return ScoreTable(Table(head, groups), list(explanations(gaps)))


def _score_row(report: Report, where: str, metric: str, gaps: dict[tuple[str, str, str], str]) -> list[Cell]:
    values = {when: score(report, where, when, metric) for when in WHEN}
    gaps |= {
        (where, WHEN[when], name_of(metric, report, where)): reason(report, where, when, metric)
        for when, value in values.items()
        if value is None
    }
    before, on, off = (values[when] for when in WHEN)
    shares = [_kept(before, value, metric) if where == "source" else Cell("") for value in (on, off)]
    cells = [_number(before), _number(on, "strong"), change(before, on, is_less_better(metric)), _number(off)]
    return [Cell(title_of(metric, report, where)), *cells, *shares]


def _confident_rows(report: Report, where: str) -> list[list[Cell]]:
    """Rows of the key points whose confidence reaches a threshold (``px_cutoff``), where the report has them."""
    found = {when: ((report.get(where) or {}).get(when) or {}).get("px_cutoff") or {} for when in WHEN}
    threshold = next((one["p_cutoff"] for one in found.values() if is_number(one.get("p_cutoff"))), None)
    if threshold is None:
        return []
    words = {
        "px_mean": f"mean error where confidence ≥ {threshold:g} (px)",
        "share": f"key points with confidence ≥ {threshold:g} (%)",
    }
    rows = []
    for key, title in words.items():
        before, on, off = (_finite(found[when].get(key)) for when in WHEN)
        cells = [_number(before), _number(on, "strong"), change(before, on, key != "share"), _number(off)]
        rows.append([Cell(title), *cells, Cell(""), Cell("")])
    return rows


def _number(value: float | None, kind: str = "") -> Cell:
    return MISSING if value is None else Cell(number(value), kind)


def _finite(value: Any) -> float | None:
    return value if is_number(value) else None


def _kept(before: float | None, after: float | None, metric: str) -> Cell:
    if is_less_better(metric) or not before or after is None:
        return Cell("")
    return Cell(percent(after / before))


def gap_figure(report: Report) -> Markup:
    """Draws how far the adapter closed the gap between target and source; empty if there is no gap."""
    main = main_of(report)
    before, after = score(report, "target", "before", main), score(report, "target", "after_on", main)
    goal = score(report, "source", "before", main)
    if before is None or after is None or goal is None:
        return Markup("")
    title, less = title_of(main, report), is_less_better(main)
    return gap_chart(before, after, goal, title=title, unit=unit_of(main), less_is_better=less)


def gain_of(report: Report) -> Gain | None:
    """Says where tuning began; None for reports that do not say it.

    The gain is split where ``report["start"]["target"]`` holds the target's scores with the warm start alone.
    """
    if "start" not in report:
        return None
    start, main = report["start"], main_of(report)
    if not start or not start.get("kept"):
        return Gain(_no_start(start), [], Markup(""))
    name = start.get("name") or "a warm start"
    before, after = score(report, "target", "before", main), score(report, "target", "after_on", main)
    at_start = _finite((start.get("target") or {}).get(main))
    text = f"Tuning began at a warm start: {name}.{_losses(start)}"
    if before is None and None not in (after, at_start):
        return Gain(text, _without_base(report, at_start, after), Markup(""))
    if before is None or after is None or at_start is None:
        lines = ["The gain is not split into start and tuning, because the start alone was not scored."]
        return Gain(text, lines, Markup(""))
    parts = [("from the start", at_start - before), ("from tuning on your pictures", after - at_start)]
    unit = "points" if unit_of(main) == "%" else unit_of(main)
    lines = [f"{label.capitalize()}: {signed(value)} {unit} of {name_of(main, report)}" for label, value in parts]
    return Gain(text, lines, gain_chart(parts, before, title=title_of(main, report)))


def _without_base(report: Report, at_start: Any, after: Any) -> list[str]:
    """Says what is known of the gain where the base alone has no score: it does not predict these key points."""
    main = main_of(report)
    unit, name = unit_of(main), name_of(main, report)
    change_unit = "points" if unit == "%" else unit
    return [
        f"Start alone: {number(at_start)} {unit} of {name}. The base alone has no score to compare it with.",
        f"From tuning on your pictures: {signed(after - at_start)} {change_unit} of {name}",
    ]


def _no_start(start: Mapping[str, Any] | None) -> str:
    if not start:
        return "Tuning began at the base's own answer. There was no warm start."
    name = start.get("name") or "The warm start"
    why = _losses(start) or " It does not fit the base or the method; the notes say why."
    return f"Tuning began at the base's own answer. This warm start was not used: {name}.{why}"


def _losses(start: Mapping[str, Any]) -> str:
    found = start.get("compared") or {}
    if not (is_number(found.get("base")) and is_number(found.get("start"))):
        return ""
    count = f" on {counted(found['pictures'], 'training picture')}" if is_number(found.get("pictures")) else ""
    return f" Before tuning, the loss{count} was {found['start']:.3g} at the start and {found['base']:.3g} at the base."


def shared_table(report: Report) -> Table | None:
    """Builds the table of the scores on the key points that base and adapter share; None where there are none."""
    shared = report.get("shared") or {}
    groups = []
    for where, found in shared.items():
        before, on = (
            {name: _finite(v) for name, v in (found.get(when) or {}).items()} for when in ("before", "after_on")
        )
        rows = [
            [Cell(title_of(name)), _number(before[name]), _number(on.get(name), "strong"),
             change(before[name], on.get(name), is_less_better(name))]
            for name in before
        ]  # fmt: skip
        groups.append(RowGroup(f"{where.capitalize()}: {', '.join(found['keypoints'])}", rows))
    return Table(["", "base alone", "adapter on", "change"], groups) if groups else None


def keypoints_of(report: Report) -> list[KeyPoints]:
    """Builds the tables of key points: the main score's figure, and the error in pixels where the report has it."""
    target, main = report.get("target") or {}, main_of(report)
    words, less = PER_JOINT.get(main, (title_of(main), is_less_better(main)))
    moments = ("before", "after_on")
    by_main = {when: (target.get("per_joint") or {}).get(when) or {} for when in moments}
    pixels = {when: (target.get(when) or {}).get("px_per_keypoint") or {} for when in moments}
    tables = [(by_main, words, less)] if main != "px_mean" or not any(pixels.values()) else []
    tables += [(pixels, "mean error in px", True)] if any(pixels.values()) else []
    return [_key_points(values, unit, less) for values, unit, less in tables if any(values.values())]


def _key_points(values: Mapping[str, Mapping[str, Any]], unit: str, less: bool) -> KeyPoints:
    before, on = values["before"], values["after_on"]
    points: list[KeyPoint] = [
        (name.replace("_", " "), _finite(before.get(name)), _finite(on.get(name)))
        for name in dict.fromkeys([*before, *on])
    ]
    rows = [[Cell(name), _number(old), _number(new, "strong"), change(old, new, less)] for name, old, new in points]
    columns = (("with the base alone", before, 1), ("with the adapter on", on, 2))
    missing = []
    for words, column, index in columns:
        names = [point[0] for point in points if point[index] is None]
        if names and column:
            missing.append(f"No score {words} for {', '.join(names)}: no labelled example in the test pictures.")
        elif names:
            who = "base alone" if index == 1 else "adapter"
            missing.append(f"No score {words}: the {who} does not predict these key points.")
    better = "Lower is better." if less else "Higher is better."
    table = Table(["key point", "base alone", "adapter on", "change"], [RowGroup("", rows)])
    text = f"Target test split, {unit}. {better}"
    return KeyPoints(f"Key points: {unit}", text, keypoint_chart(points, unit=unit), table, missing)
