"""The section of the report on ``--keep``: target against source over the share of the change that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from lvtune.viz.colours import AFTER, BEFORE
from lvtune.viz.page import Cell, RowGroup, Table, number, percent
from lvtune.viz.score_words import name_of, unit_of
from lvtune.viz.svg_figures import DIM, inline_svg, new_figure, page_style


@dataclass(frozen=True)
class KeepCurve:
    """What the section shows."""

    text: str
    chart: Markup
    table: Table
    """Over the share of the change, and without each part of the estimator where that was tried."""


def keep_curve(found: Mapping[str, Any] | None) -> KeepCurve | None:
    """Returns the section, from ``keep`` of a report; None without it."""
    if not found or not found.get("curve"):
        return None
    title, unit = name_of(found["metric"]), unit_of(found["metric"])
    measured = f"source's {title}" if found.get("labels", True) else "base's own answers on the named pictures"
    text = (
        f"At least {found['asked']:g} % of the {measured} should remain with the adapter on. {_taken(found)} The "
        f"scores are of pictures that were kept out of the tuning: {found['source_pictures']} of the source, "
        f"{found['target_pictures']} of the target.{_replayed(found.get('replay'))}"
    )
    rows = [_row(f"{point['share']:.0%}", point, _is_taken(found, point)) for point in found["curve"]]
    rows += [_row(f"without {p['left_out']}", p, _is_taken(found, p)) for p in found.get("parts") or ()]
    heads = ["share of the change", f"source ({unit})", f"target ({unit})", "source kept", "by chance"]
    return KeepCurve(text, _chart(found, f"{title} ({unit})"), Table(heads, [RowGroup("", rows)]))


def _taken(found: Mapping[str, Any]) -> str:
    """Says in a sentence what was taken, and why."""
    if not found["holds"]:
        why = "no share holds it by more than chance; this one has the best sum of both scores"
        return f"{found['share']:.0%} of the change is taken: {why}."
    if found.get("left_out") is not None:
        return f"The change without that of the {found['left_out']} is taken: it holds, and is best for the target."
    if found["share"] == 1:
        return "All of the change is taken: it holds."
    return f"{found['share']:.0%} of the change is taken: it is the largest share for which this holds."


def _replayed(replay: Mapping[str, Any] | None) -> str:
    if not replay:
        return " No picture of the source was replayed."
    towards = "their labels" if replay["answers"] == "labels" else "the base's own answers"
    return f" {replay['pictures']} further pictures of the source were replayed during the tuning, towards {towards}."


def _is_taken(found: Mapping[str, Any], point: Mapping[str, Any]) -> bool:
    return (point["share"], point.get("left_out")) == (found["share"], found.get("left_out"))


def _row(label: str, point: Mapping[str, Any], is_taken: bool) -> list[Cell]:
    return [
        Cell(label + " (taken)" * is_taken),
        *(Cell("" if point[key] is None else number(point[key])) for key in ("source", "target")),
        Cell("" if point["kept"] is None else percent(point["kept"])),
        Cell("" if point["kept"] is None else f"± {percent(point.get('chance', 0.0))}"),
    ]


def _chart(found: Mapping[str, Any], label: str) -> Markup:
    points = [point for point in found["curve"] if None not in (point["source"], point["target"])]
    if not points:
        return Markup("")
    with page_style():
        figure, axes = new_figure(6.4, 3.2)
        axes.plot([p["source"] for p in points], [p["target"] for p in points], color=BEFORE, marker="o", markersize=4)
        parts = [point for point in found.get("parts") or () if None not in (point["source"], point["target"])]
        for point in (*points, *parts):
            where = (point["source"], point["target"])
            label = f"without {point['left_out']}" if point.get("left_out") else f"{point['share']:.0%}"
            if point.get("left_out"):
                axes.plot(*where, color=DIM, marker="x", markersize=4)
            axes.annotate(label, where, (4, 4), textcoords="offset points", fontsize=7, color=DIM)
            if _is_taken(found, point):
                axes.plot(*where, color=AFTER, marker="o", markersize=10)
        axes.set(xlabel=f"source, {label}", ylabel=f"target, {label}")
        return inline_svg(figure, "Target against source over the share of the change")
