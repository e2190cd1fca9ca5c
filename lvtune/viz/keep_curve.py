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


def keep_curve(found: Mapping[str, Any] | None) -> KeepCurve | None:
    """Returns the section, from ``keep`` of a report; None without it."""
    if not found or not found.get("curve"):
        return None
    metric, taken = found["metric"], found["share"]
    title, unit = name_of(metric), unit_of(metric)
    most, best = "is the largest share for which this holds", "has the best sum of both scores; it holds for no share"
    verdict = most if found["holds"] else best
    text = (
        f"At least {found['asked']:g} % of the source's {title} should remain with the adapter on. {taken:.0%} of "
        f"the change is taken: it {verdict}. The scores are of pictures that were kept out of the tuning: "
        f"{found['source_pictures']} of the source, {found['target_pictures']} of the target."
    )
    rows = [
        [
            Cell(f"{point['share']:.0%}" + (" (taken)" if point["share"] == taken else "")),
            *(Cell("" if point[key] is None else number(point[key])) for key in ("source", "target")),
            Cell("" if point["kept"] is None else percent(point["kept"])),
        ]
        for point in found["curve"]
    ]
    table = Table(["share of the change", f"source ({unit})", f"target ({unit})", "source kept"], [RowGroup("", rows)])
    return KeepCurve(text, _chart(found, f"{title} ({unit})"), table)


def _chart(found: Mapping[str, Any], label: str) -> Markup:
    points = [point for point in found["curve"] if None not in (point["source"], point["target"])]
    if not points:
        return Markup("")
    with page_style():
        figure, axes = new_figure(6.4, 3.2)
        axes.plot([p["source"] for p in points], [p["target"] for p in points], color=BEFORE, marker="o", markersize=4)
        for point in points:
            where = (point["source"], point["target"])
            axes.annotate(f"{point['share']:.0%}", where, (4, 4), textcoords="offset points", fontsize=7, color=DIM)
            if point["share"] == found["share"]:
                axes.plot(*where, color=AFTER, marker="o", markersize=10)
        axes.set(xlabel=f"source, {label}", ylabel=f"target, {label}")
        return inline_svg(figure, "Target against source over the share of the change")
