"""Draws the learning curve of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lvtune.viz.colours import SERIES
from lvtune.viz.svg_figures import inline_svg, new_figure, page_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE_FIGURE = "learning-curve.png"


def curve_png(curve: Mapping[str, Any], path: Path, score: str) -> None:
    """Writes the figure as PNG; ``score`` is the label of the y axis."""
    from matplotlib import rc_context

    with rc_context():
        _figure(curve, score).savefig(path, dpi=150)


def curve_svg(curve: Mapping[str, Any], score: str) -> Markup:
    """Returns the figure as SVG for a page."""
    with page_style():
        return inline_svg(_figure(curve, score), "Score over the number of labelled pictures")


def _figure(curve: Mapping[str, Any], score: str) -> Figure:
    from matplotlib.ticker import NullFormatter, NullLocator

    figure, axes = new_figure(9.4, 4.6)
    axes.set_xscale("log")
    numbers = set()
    for place, line in enumerate(curve["lines"]):
        _draw_line(axes, line, SERIES[place % len(SERIES)])
        numbers |= {one["pictures"] for one in (*line["points"], *line["forecasts"])}
    axes.set_xticks(sorted(numbers), [str(number) for number in sorted(numbers)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="labelled pictures to tune on", ylabel=score)
    axes.legend(fontsize=8, loc="best")
    return figure


def _draw_line(axes: Axes, line: Mapping[str, Any], colour: str) -> None:
    points, forecasts = line["points"], line["forecasts"]
    half = [one.get("half") or 0.0 for one in points]
    axes.errorbar([one["pictures"] for one in points], [one["mean"] for one in points], yerr=half, color=colour,
                  fmt="o", markersize=5, capsize=3, label=line["label"])  # fmt: skip
    drawn = line["curve"]
    if drawn:
        numbers = [one["pictures"] for one in drawn]
        axes.plot(numbers, [one["score"] for one in drawn], color=colour, linewidth=1.2, linestyle="--")
    if forecasts:
        middle = [one["score"] for one in forecasts]
        reach = [[one["score"] - one["low"] for one in forecasts], [one["high"] - one["score"] for one in forecasts]]
        axes.errorbar([one["pictures"] for one in forecasts], middle, yerr=reach, color=colour, fmt="o", markersize=6,
                      markerfacecolor="none", capsize=4, label=f"{line['label']}, forecast")  # fmt: skip
