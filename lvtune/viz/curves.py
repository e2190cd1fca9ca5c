"""Line charts of a tuning run: loss and validation score over the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from markupsafe import Markup

from lvtune.viz.colours import AFTER
from lvtune.viz.svg_figures import DIM, inline_svg, new_figure, page_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 400  # more than a screen shows at this width
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        x: (n,) steps.
        y: (n,) values; None, NaN and infinite values leave a gap in the line.
        style: ``faint``, ``main``, or ``dots`` (``main`` with a marker at each value).
    """

    x: Sequence[float]
    y: Sequence[float | None]
    style: Literal["faint", "main", "dots"] = "main"


@dataclass(frozen=True)
class Level:
    """A dashed horizontal line to compare with."""

    y: float
    label: str


def smooth(values: Sequence[float | None], span: int) -> list[float | None]:
    """Returns the running mean with exponentially fading weights, unbiased from the first value on.

    Args:
        values: (n,); a value that is not a finite number stays out of the mean and becomes None.
        span: about how many values the mean reaches back.
    """
    keep, total, weight = 1 - 1 / max(1, span), 0.0, 0.0
    result: list[float | None] = []
    for value in values:
        if value is None or not math.isfinite(value):
            result.append(None)
            continue
        total, weight = keep * total + value, keep * weight + 1
        result.append(total / weight)
    return result


def thin(x: Sequence[float], y: Sequence[float | None], most: int = _POINTS) -> tuple[list[float], list[float | None]]:
    """Returns at most ``most`` points: neighbours are averaged; values that are not finite numbers are left out."""
    count = min(len(x), len(y))
    finite = [value if value is not None and math.isfinite(value) else None for value in y[:count]]
    if count <= most:
        return list(x[:count]), finite
    groups = np.array_split(np.arange(count), most)
    means: list[float | None] = []
    for group in groups:
        inside = [value for value in (finite[i] for i in group) if value is not None]
        means.append(float(np.mean(inside)) if inside else None)
    return [float(np.mean([x[i] for i in group])) for group in groups], means


def line_chart(
    title: str, series: Sequence[Series], *, x_label: str = "training step", y_label: str = "",
    levels: Sequence[Level] = (),
) -> Markup:  # fmt: skip
    """Draws lines over a common pair of axes as SVG; empty if no line has a value.

    Args:
        title: above the chart; names the chart for screen readers too.
        series: lines, drawn in this order.
        x_label: below the x axis.
        y_label: beside the y axis, with the unit; a power of ten that the tick labels leave out is added to it.
        levels: dashed lines with their labels.
    """
    lines = [(*thin(line.x, line.y), line.style) for line in series]
    values = [value for _, ys, _ in lines for value in ys if value is not None]
    if not values:
        return Markup("")
    levels = [level for level in levels if math.isfinite(level.y)]
    power = power_of_ten(max(map(abs, [*values, *(level.y for level in levels)])))
    from matplotlib.ticker import MaxNLocator

    with page_style():
        figure, axes = new_figure(4.9, 2.7)
        for x, y, style in lines:
            _draw_line(axes, x, [math.nan if value is None else value / 10**power for value in y], style)
        for level in levels:
            axes.axhline(level.y / 10**power, color=DIM, linestyle=(0, (5, 4)), linewidth=1, gid="lv-level")
            place = {"xy": (1, level.y / 10**power), "xycoords": ("axes fraction", "data")}
            offset = {"xytext": (-2, 3), "textcoords": "offset points"}
            axes.annotate(level.label, ha="right", va="bottom", color=DIM, fontsize=8, **place, **offset)
        axes.set(title=title, xlabel=x_label, ylabel=with_power(y_label, power))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        if axes.dataLim.width == 0:
            axes.set_xlim(axes.dataLim.x0 - 1, axes.dataLim.x0 + 1)
        return inline_svg(figure, f"{title} over {x_label}")


def _draw_line(axes: Axes, x: Sequence[float], y: Sequence[float], style: str) -> None:
    is_faint = style == "faint"
    line: dict[str, Any] = {"linewidth": 1 if is_faint else 1.8, "alpha": 0.45 if is_faint else 1}
    # a single value has no line
    if style == "dots" or len(y) == 1:
        line |= {"marker": "o", "markersize": 4}
    axes.plot(x, y, color=AFTER, gid="lv-faint" if is_faint else "lv-main", **line)


def power_of_ten(largest: float) -> int:
    """Returns the power of ten to leave out of tick labels: 0 for numbers from 0.01 to 100,000."""
    if largest == 0 or 0.01 <= largest < 1e5:
        return 0
    return math.floor(math.log10(largest))


def with_power(label: str, power: int) -> str:
    """Returns an axis label with the power of ten that its tick labels leave out: ``loss (×10⁻³)``."""
    return f"{label} (×10{str(power).translate(_SUPERSCRIPT)})".strip() if power else label
