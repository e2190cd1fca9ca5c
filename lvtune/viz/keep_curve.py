"""The section of the report on ``--keep``: target against source over the share of the change that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from lvtune.viz.colours import AFTER, BEFORE
from lvtune.viz.page import Cell, RowGroup, Table, number, percent
from lvtune.viz.score_words import late_words, name_of, unit_of
from lvtune.viz.svg_figures import DIM, inline_svg, new_figure, page_style


@dataclass(frozen=True)
class KeepCurve:
    """What the section shows."""

    text: str
    chart: Markup
    table: Table
    """Over the share of the change, and what else was tried: more taken back in the late parts, or of all."""


def keep_curve(found: Mapping[str, Any] | None) -> KeepCurve | None:
    """Returns the section, from ``keep`` of a report; None without it."""
    if not found or not found.get("curve"):
        return None
    title, unit = name_of(found["metric"]), unit_of(found["metric"])
    measured = f"source's {title}" if found.get("labels", True) else "base's own answers on the named pictures"
    run = {1: "the tuning", 2: "a first run, whose change was taken back alike"}.get(
        found["runs"], "one of two first runs, whose changes were taken back alike"
    )
    text = (
        f"At least {found['asked']:g} % of the {measured} should remain with the adapter on. {_taken(found)} The "
        f"scores are of pictures that were kept out of {run}: {found['source_pictures']} of the source, "
        f"{found['target_pictures']} of the target.{_replayed(found.get('replay'))}"
    )
    if any(point["moved"] is not None for point in found["curve"]):
        text += " What is expected to remain follows from both: the score, which few pictures tell badly, and how many "
        text += "points moved from where the base alone puts them, by more than the threshold of PCK."
    rows = [_row(_label(point), point, _is_taken(found, point)) for point in (*found["curve"], *found["others"])]
    heads = ["share of the change", f"source ({unit})", f"target ({unit})", "source kept", "points moved", "expected"]
    return KeepCurve(text, _chart(found, f"{title} ({unit})"), Table(heads, [RowGroup("", rows)]))


def _taken(found: Mapping[str, Any]) -> str:
    """Says in a sentence what was taken, and why."""
    if not found["holds"]:
        why = "no share is expected to hold it; this one has the best sum of both scores"
        return f"{found['share']:.0%} of the change is taken: {why}."
    if found["share"] == 1 and found["late"] == 1:
        return "All of the change is taken: it holds."
    said = "it is the largest share for which this holds"
    if found.get("largest", found["share"]) != found["share"]:
        said = f"{found['largest']:.0%} would hold too, and this is no worse for the target"
    if not found["others"]:
        return f"{found['share']:.0%} of the change is taken: {said}."
    more = f" ({late_words(found['late'])})" if found["late"] != 1 else ""
    return (
        f"{found['share']:.0%} of the change is taken{more}: {said}. Of several ways back, the one with half of the "
        "share in the late parts is taken, or one that is better for the target by more than chance."
    )


def _replayed(replay: Mapping[str, Any] | None) -> str:
    if not replay:
        return " No picture of the source was replayed."
    towards = "their labels" if replay["answers"] == "labels" else "the base's own answers"
    return f" {replay['pictures']} further pictures of the source were replayed during the tuning, towards {towards}."


def _is_taken(found: Mapping[str, Any], point: Mapping[str, Any]) -> bool:
    return (point["share"], point["late"]) == (found["share"], found["late"])


def _label(point: Mapping[str, Any]) -> str:
    less = "" if point["late"] == 1 else ", none late" if point["late"] == 0 else f", {point['late']:g} of it late"
    return f"{point['share']:.0%}{less}"


def _row(label: str, point: Mapping[str, Any], is_taken: bool) -> list[Cell]:
    return [
        Cell(label + " (taken)" * is_taken),
        *(Cell("" if point[key] is None else number(point[key])) for key in ("source", "target")),
        *(Cell("" if point[key] is None else percent(point[key])) for key in ("kept", "moved")),
        Cell(f"{percent(point['expected'])} ± {percent(point['chance'])}"),
    ]


def _chart(found: Mapping[str, Any], label: str) -> Markup:
    points = [point for point in found["curve"] if None not in (point["source"], point["target"])]
    if not points:
        return Markup("")
    with page_style():
        figure, axes = new_figure(6.4, 3.2)
        axes.plot([p["source"] for p in points], [p["target"] for p in points], color=BEFORE, marker="o", markersize=4)
        others = [point for point in found["others"] if None not in (point["source"], point["target"])]
        for point in (*points, *others):
            where = (point["source"], point["target"])
            if point["late"] != 1:
                axes.plot(*where, color=DIM, marker="x", markersize=4)
            axes.annotate(_label(point), where, (4, 4), textcoords="offset points", fontsize=7, color=DIM)
            if _is_taken(found, point):
                axes.plot(*where, color=AFTER, marker="o", markersize=10)
        axes.set(xlabel=f"source, {label}", ylabel=f"target, {label}")
        return inline_svg(figure, "Target against source over the share of the change")
