"""Draws target scores over source scores, as in figure 1 of VLPose (arXiv 2402.14456).

The points come from the answer of ``lvtune reproduce``, from ``report.json`` files, or from the ``results.json`` of a
comparison.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lvtune.core.errors import DataError, UsageError
from lvtune.viz.colours import SERIES
from lvtune.viz.svg_figures import CARD, DIM, inline_svg, new_figure, page_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LARGEST, _LEAST = 1600.0, 25.0  # areas of circles, in square points


@dataclass(frozen=True)
class Point:
    """One model in the comparison; scores in percent."""

    label: str
    """Beside the circle, once for each group."""
    series: str
    """Method: its colour, and its line in the legend."""
    source: float
    target: float
    parameters: float
    """What the circle's area is in proportion to."""
    group: str = ""
    """Points of one group have one label."""
    is_reference: bool = False
    """A published figure: an empty circle."""
    line: str = ""
    """Points of one line are joined; "": those of one group."""


def target_against_source(
    points: Sequence[Point], path: str | Path, *, source: str = "source", target: str = "target",
    size: str = "parameters", title: str = "",
) -> Path:  # fmt: skip
    """Draws each model's target score over its source score into a file; the area of a circle is the model's size.

    Args:
        points: in the order of the legend.
        path: PNG, SVG or PDF.
        source: label of the x axis, with the unit.
        target: label of the y axis, with the unit.
        size: what the area of the circles stands for.
        title: above the figure.

    Raises:
        LvtuneError: there are no points, or the file cannot be written.
    """
    file = Path(path)
    with page_style():
        figure = _figure(points, source, target, size, title)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(file, dpi=160, facecolor="white")
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"figure {file} ({error})", "a PNG, SVG or PDF file that can be written",
                             "choose another path") from error  # fmt: skip
    return file


def target_source_svg(points: Sequence[Point], *, source: str, target: str, size: str, title: str) -> Markup:
    """Draws the figure of :func:`target_against_source` as SVG for a page."""
    with page_style():
        return inline_svg(_figure(points, source, target, size, title), "Target score over source score")


def _figure(points: Sequence[Point], source: str, target: str, size: str, title: str) -> Figure:
    if not points:
        raise DataError("no model with a source and a target score", "at least one", "run some rows first")
    figure, axes = new_figure(9.4, 5.6)
    series = list(dict.fromkeys(point.series for point in points))
    colours = {name: SERIES[i % len(SERIES)] for i, name in enumerate(series)}
    most = max(point.parameters for point in points) or 1.0
    _draw_groups(axes, points)
    for point in sorted(points, key=lambda p: -p.parameters):
        colour = colours[point.series]
        style = {"facecolors": colour, "alpha": 0.75}
        if point.is_reference:
            style = {"facecolors": "none", "linewidths": 1.6}
        axes.scatter(point.source, point.target, s=_area(point, most), edgecolors=colour, **style)
    _draw_legend(axes, points, colours, most, size)
    axes.set(xlabel=source, ylabel=target, title=title)
    axes.margins(0.14)
    _draw_labels(axes, points, most)
    return figure


def _draw_groups(axes: Axes, points: Sequence[Point]) -> None:
    """Draws a line through the points of each group, or of whatever they name as their line."""
    key_of = lambda point: (point.line or point.group, point.is_reference)  # noqa: E731
    for key in dict.fromkeys(key_of(point) for point in points if point.line or point.group):
        inside = [point for point in points if key_of(point) == key]
        axes.plot([p.source for p in inside], [p.target for p in inside], color=DIM, linewidth=0.8, zorder=0.9)


def _draw_labels(axes: Axes, points: Sequence[Point], most: float) -> None:
    """Writes the name of each group once, above its highest circle; a name that would cover another moves up."""
    best: dict[str, Point] = {}
    for point in sorted(points, key=lambda p: p.target):
        best[point.group or point.label] = point
    axes.autoscale_view()
    scale = 72 / axes.figure.dpi  # pixels to points
    taken: list[tuple[float, float]] = []
    for point in sorted(best.values(), key=lambda p: p.target):
        x, y = axes.transData.transform((point.source, point.target)) * scale
        lift = (_area(point, most) / 3.14) ** 0.5 + 3
        while any(abs(x - other_x) < 52 and abs(y + lift - other_y) < 9 for other_x, other_y in taken):
            lift += 3
        taken.append((x, y + lift))
        halo = {"boxstyle": "square,pad=0", "facecolor": CARD, "edgecolor": "none", "alpha": 0.7}
        place = {"xy": (point.source, point.target), "xytext": (0, lift), "textcoords": "offset points"}
        axes.annotate(point.label, **place, ha="center", fontsize=8, bbox=halo)


def _area(point: Point, most: float) -> float:
    return max(_LEAST, _LARGEST * point.parameters / most)


def _draw_legend(axes: Axes, points: Sequence[Point], colours: Mapping[str, str], most: float, size: str) -> None:
    from matplotlib.lines import Line2D

    mark = {"marker": "o", "linestyle": "none", "markersize": 8}
    handles = [Line2D([], [], color=colour, label=name, **mark) for name, colour in colours.items()]
    if any(point.is_reference for point in points):
        empty = {"markerfacecolor": "none", "markeredgecolor": DIM}
        handles.append(Line2D([], [], label="as published", **empty, **mark))
        if any(not point.is_reference for point in points):
            handles.append(Line2D([], [], color=DIM, label="run here", **mark))
    handles.append(Line2D([], [], linestyle="none", label=f"area: {size}, largest {most / 1e6:.3g} M"))
    axes.legend(handles=handles, fontsize=8, loc="best")


def points_of_table(values: Mapping[str, Any]) -> list[Point]:
    """Returns the points of a published table, as published and as run here.

    Args:
        values: what :func:`lvtune.experiments.reproducing.reproduce` returns. Rows without a source or target score are
            left out; there are no points if the table names no columns for the axes.
    """
    axes = values.get("figure") or {}
    if not {"source", "target"} <= set(axes):
        return []
    drawn = [name.strip() for name in axes.get("groups", "").split(",") if name.strip()]
    rows = [row for row in values["rows"] if not drawn or row["group"] in drawn]
    sizes: dict[str, float] = {}
    for row in rows:
        # the row that trains every weight says how large the model of the group is
        sizes[row["group"]] = max(sizes.get(row["group"], 0), row["trainable"] or 0)
    points = []
    for is_reference, kind in ((True, "reference"), (False, "ours")):
        for row in rows:
            source, target = (row[kind].get(axes[side]) for side in ("source", "target"))
            if source is not None and target is not None:
                series, group = row["series"] or row["label"], row["group"]
                size = sizes[group] or 1.0
                line = series if axes.get("join") == "series" else ""
                label = row["group"] or row["label"]
                points.append(Point(label, series, source, target, size, group, is_reference, line))
    return points


def points_of_reports(files: Sequence[str | Path], metric: str = "pck@0.2") -> list[Point]:
    """Returns the points of ``report.json`` files: each run's base alone, and its adapter on.

    Args:
        files: reports of ``lvtune adapt``; reports without source scores are left out.
        metric: key of a score in the reports.

    Raises:
        LvtuneError: a file is not a report.
    """
    points: dict[tuple[Any, ...], Point] = {}
    for file in map(Path, files):
        report = _read(file)
        base, method = report["base"]["name"], report["recipe"]["method"]
        for when, series, size in (
            ("before", f"{base} alone", 0),
            ("after_on", method, report["adapter"]["parameters"]),
        ):
            source, target = ((report.get(side) or {}).get(when) or {} for side in ("source", "target"))
            if source.get(metric) is not None and target.get(metric) is not None:
                point = Point(series, series, source[metric], target[metric], size)
                points.setdefault((series, point.source, point.target), point)
    return list(points.values())


def points_of_compare(results: str | Path) -> list[Point]:
    """Returns the points of a comparison's ``results.json``, one per run.

    Args:
        results: a list, or a table with the list ``cells``; each entry has ``method``, ``parameters``, ``target`` and
            ``source``.

    Raises:
        LvtuneError: there is no such file, or an entry lacks one of these.
    """
    values = _read(Path(results))
    cells = values.get("cells", []) if isinstance(values, Mapping) else values
    points = []
    for cell in cells:
        lacking = [name for name in ("method", "parameters", "target", "source") if name not in cell]
        if lacking:
            raise DataError(f"a cell of {results} without `{lacking[0]}`", "method, parameters, target, source",
                            "run lvtune compare again")  # fmt: skip
        if cell["source"] is not None and cell["target"] is not None:
            name = str(cell.get("label") or cell["method"])
            points.append(Point(name, name, float(cell["source"]), float(cell["target"]), float(cell["parameters"])))
    return points


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{file} ({reason})", "a JSON file that a run wrote", "check the path") from error
