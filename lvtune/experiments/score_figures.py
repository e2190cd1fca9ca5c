"""Figures of a whole comparison: target against source score (VLPose's figure 1), and pictures by category (figure 4).

VLPose: arXiv 2402.14456. Figures are drawn from what runs left behind: ``lvtune reproduce``'s answer, ``report.json``
files, or the ``results.json`` of a compare folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.core.errors import LvtuneError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a", "#000000")
"""Of Okabe and Ito's palette, which colour-blind eyes tell apart."""
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
    """Points of one group are joined by a line."""
    is_reference: bool = False
    """A published figure: an empty circle."""


def target_against_source(
    points: Sequence[Point], path: str | Path, *, source: str = "source", target: str = "target",
    size: str = "parameters", title: str = "",
) -> Path:  # fmt: skip
    """Draws each model's target score over its source score, circles by size.

    Args:
        points: in the order of the legend.
        path: PNG, SVG or PDF.
        source: words at the x axis.
        target: words at the y axis.
        size: what the circles' area stands for.
        title: above.

    Raises:
        LvtuneError: nothing to draw, or a file that cannot be written.
    """
    from matplotlib.figure import Figure

    if not points:
        raise LvtuneError("no model with a source and a target score", "at least one", "run some rows first")
    figure = Figure(figsize=(8, 5.6), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    series = list(dict.fromkeys(point.series for point in points))
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(series)}
    most = max(point.parameters for point in points) or 1.0
    _lines(axes, points)
    for point in sorted(points, key=lambda p: -p.parameters):
        colour = colours[point.series]
        style = {"facecolors": colour, "alpha": 0.75}
        if point.is_reference:
            style = {"facecolors": "none", "linewidths": 1.6}
        axes.scatter(point.source, point.target, s=_area(point, most), edgecolors=colour, **style)
    _legend(axes, points, colours, most, size)
    axes.set_xlabel(source)
    axes.set_ylabel(target)
    axes.set_title(title, fontsize=11)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(0.14)
    _label(axes, points, most)
    return _save(figure, Path(path))


def _lines(axes: Axes, points: Sequence[Point]) -> None:
    for key in dict.fromkeys((point.group, point.is_reference) for point in points if point.group):
        inside = [point for point in points if (point.group, point.is_reference) == key]
        axes.plot([p.source for p in inside], [p.target for p in inside], color="#999999", linewidth=0.8, zorder=0.9)


def _label(axes: Axes, points: Sequence[Point], most: float) -> None:
    """The name of each group once, above its highest circle; one that would cover another is moved up."""
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
        halo = {"boxstyle": "square,pad=0", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
        place = {"xy": (point.source, point.target), "xytext": (0, lift), "textcoords": "offset points"}
        axes.annotate(point.label, **place, ha="center", fontsize=8, bbox=halo)


def _area(point: Point, most: float) -> float:
    return max(_LEAST, _LARGEST * point.parameters / most)


def _legend(axes: Axes, points: Sequence[Point], colours: Mapping[str, str], most: float, size: str) -> None:
    from matplotlib.lines import Line2D

    mark = {"marker": "o", "linestyle": "none", "markersize": 8}
    handles = [Line2D([], [], color=colour, label=name, **mark) for name, colour in colours.items()]
    if any(point.is_reference for point in points):
        empty = {"markerfacecolor": "none", "markeredgecolor": "#444444"}
        handles.append(Line2D([], [], label="as published", **empty, **mark))
    if any(not point.is_reference for point in points):
        handles.append(Line2D([], [], color="#444444", label="run here", **mark))
    handles.append(Line2D([], [], linestyle="none", label=f"area: {size}, largest {most / 1e6:.3g} M"))
    axes.legend(handles=handles, fontsize=8, loc="best", framealpha=0.85)


def _save(figure: Any, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise LvtuneError(f"figure {path} ({error})", "a PNG, SVG or PDF file that can be written",
                          "choose another path") from error  # fmt: skip
    return path


def points_of_table(values: Mapping[str, Any]) -> list[Point]:
    """Points of what :func:`lvtune.experiments.reproducing.reproduce` gives: published and ours.

    Rows without a source or target figure are left out; so are all where the table names none for a figure.
    """
    axes = values.get("figure") or {}
    if not {"source", "target"} <= set(axes):
        return []
    sizes: dict[str, float] = {}
    for row in values["rows"]:
        # of a group the row that trains everything is as large as the model
        sizes[row["group"]] = max(sizes.get(row["group"], 0), row["trainable"] or 0)
    found = []
    for is_reference, kind in ((True, "reference"), (False, "ours")):
        for row in values["rows"]:
            source, target = (row[kind].get(axes[side]) for side in ("source", "target"))
            if source is not None and target is not None:
                series, group = row["series"] or row["label"], row["group"]
                size = sizes[group] or 1.0
                found.append(Point(row["group"] or row["label"], series, source, target, size, group, is_reference))
    return found


def points_of_reports(files: Sequence[str | Path], metric: str = "pck@0.2") -> list[Point]:
    """Points of ``report.json`` files: each run's base before, and with its adapter on; size by trained parameters.

    Args:
        files: reports of ``lvtune adapt`` with source scores; those without are left out.
        metric: a score of the reports.

    Raises:
        LvtuneError: a file that is no report.
    """
    found: dict[tuple[Any, ...], Point] = {}
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
                found.setdefault((series, point.source, point.target), point)
    return list(found.values())


def points_of_compare(results: str | Path) -> list[Point]:
    """Points of a compare folder's ``results.json``: a list (or ``cells``) of method, parameters, target and source.

    Raises:
        LvtuneError: no such file, or cells without these.
    """
    values = _read(Path(results))
    cells = values.get("cells", []) if isinstance(values, Mapping) else values
    found = []
    for cell in cells:
        lacking = [name for name in ("method", "parameters", "target", "source") if name not in cell]
        if lacking:
            raise LvtuneError(f"a cell of {results} without `{lacking[0]}`", "method, parameters, target, source",
                              "run lvtune compare again")  # fmt: skip
        if cell["source"] is not None and cell["target"] is not None:
            name = str(cell.get("label") or cell["method"])
            found.append(Point(name, name, float(cell["source"]), float(cell["target"]), float(cell["parameters"])))
    return found


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LvtuneError(f"{file} ({reason})", "a JSON file that a run left", "check the path") from error
