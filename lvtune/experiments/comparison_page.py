"""Writes ``results.json``, ``results.md`` and ``results.html`` of a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lvtune.core.files import user_errors, write_text
from lvtune.evaluation.metrics import imitation
from lvtune.experiments.comparison_table import (
    NO_SCORE,
    NONE_TUNED,
    SHOTS,
    Row,
    cost_rows,
    introduction,
    markdown,
    missing_columns,
    score_rows,
    start_name,
    start_rows,
    title_text,
)
from lvtune.experiments.learning_curve import words_of
from lvtune.experiments.learning_curve_figure import CURVE_FIGURE, curve_png, curve_svg
from lvtune.experiments.score_figures import Point, target_against_source, target_source_svg
from lvtune.viz.page import Cell, RowGroup, Table, render_page
from lvtune.viz.score_words import is_less_better, title_of, unit_of

FIGURE = "target-source.png"
_STARTS = (
    "A warm start is an adapter that was tuned before, on other pictures. Its part of the gain does not come from your "
    "pictures."
)
_CURVE = (
    "Mean and 95 % interval over the seeds, at the numbers of labelled pictures that were run. Dashed: a power law, "
    "error = a n^-b + c. Open circles: what it expects of other numbers of pictures, with a 95 % interval. Check: the "
    "largest number that was run, as expected from the smaller ones alone."
)


def write_comparison(values: Mapping[str, Any], out: Path) -> None:
    """Writes the three files; ``target-source.png`` where both were scored; the curve where numbers of pictures differ.

    Args:
        values: what :func:`lvtune.experiments.comparing.compare` returns.
        out: folder.

    Raises:
        LvtuneError: the folder cannot be written.
    """
    write_text(out / "results.json", json.dumps(values, indent=1))
    points = points_of_summary(values)
    if len(points) > 1:
        target_against_source(points, out / FIGURE, **_words(values))
    if values.get("curve"):
        with user_errors(out / CURVE_FIGURE):
            curve_png(values["curve"], out / CURVE_FIGURE, f"target {title_of(values['main'], values)}")
    write_text(out / "results.md", markdown(values))
    write_text(out / "results.html", html(values))


def points_of_summary(values: Mapping[str, Any]) -> list[Point]:
    """Returns a point for the base alone, and one for each variant at its best learning rate (mean over the seeds)."""
    lines = [one for one in values["summary"] if one["best"] and one["source"] and one["target"]]
    several = len({one["shots"] for one in lines}) > 1
    points = []
    if lines and None not in (lines[0]["source_before"], lines[0]["target_before"]):
        points.append(Point("base alone", "base alone", lines[0]["source_before"], lines[0]["target_before"], 0))
    for one in lines:
        name = f"{one['label']}, {one['shots']}" if several else one["label"]
        points.append(Point(name, one["label"], one["source"]["mean"], one["target"]["mean"], one["parameters"]))
    return points


def html(values: Mapping[str, Any]) -> str:
    """Returns ``results.html``."""
    points, is_done, main = points_of_summary(values), bool(values["summary"]), values["main"]
    curve = values.get("curve")
    return render_page(
        "comparison.html.j2",
        title=title_text(values),
        warning=imitation({"target_name": values.get("target_name")}),
        text=introduction(values),
        scores=_by_shots(score_rows(values)) if is_done else None,
        columns=missing_columns(values),
        starts=_by_shots(start_rows(values)),
        starts_text=_STARTS,
        curve=curve_svg(curve, f"target {title_of(main, values)}") if curve else Markup(""),
        curve_text=_CURVE,
        curve_lines=words_of(curve, unit_of(main)) if curve else [],
        figure=target_source_svg(points, **_words(values)) if len(points) > 1 else Markup(""),
        figure_text=_figure_text(main) if is_done else "",
        costs=_by_shots(cost_rows(values)),
        failed=[f"{name}: {'; '.join(why.values())}" for name, why in values["failed"].items()],
        runs=_runs(values["cells"]),
        runs_text=f"Scores: {title_of(main, values)}." if is_done else "",
        versions=[(name, str(text), "") for name, text in values["versions"].items()],
    )


def _figure_text(main: str) -> str:
    better = "Lower is better" if is_less_better(main) else "Higher is better"
    return f"Mean scores of each variant with the adapter on. {better}, on target and source."


def _words(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        "source": f"source {title_of(values['main'], values)}",
        "target": f"target {title_of(values['main'], values)}",
        "size": "trained parameters",
        "title": f"{values['base']} on {values['target_name']}",
    }


def _by_shots(rows: Sequence[Row]) -> Table | None:
    """Builds a table with a heading for each number of annotated pictures; None without rows."""
    if not rows:
        return None
    heads = [name for name in rows[0] if name != SHOTS]
    groups: dict[str, list[list[Cell]]] = {}
    for row in rows:
        cells = [Cell(row[name], "missing" if row[name] == NO_SCORE else "") for name in heads]
        groups.setdefault(row[SHOTS], []).append(cells)
    titles = {shots: "Before tuning" if shots == NONE_TUNED else f"{shots} annotated pictures" for shots in groups}
    return Table(heads, [RowGroup(titles[shots], inside) for shots, inside in groups.items()])


def _runs(rows: Sequence[Mapping[str, Any]]) -> Table | None:
    if not rows:
        return None
    unit = unit_of(rows[0]["main"])
    heads = {
        "label": "variant", "shots": "shots", "seed": "seed", "lr": "learning rate", "steps": "steps",
        "target": f"target ({unit})", "source": f"source, adapter on ({unit})",
        "source_off": f"source, adapter off ({unit})",
    }  # fmt: skip
    shown = [[Cell(_plain(name, row[name])) for name in heads] + [Cell(start_name(row))] for row in rows]
    return Table([*heads.values(), "tuning began at"], [RowGroup("", shown)])


def _plain(name: str, value: Any) -> str:
    if value is None:
        return "own" if name == "lr" else NO_SCORE
    return f"{value:.4g}" if isinstance(value, float) else str(value)
