"""Line charts as SVG that takes its colours from the page, so that it reads well on light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_WIDTH, _HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 30, 42
_POINTS = 400  # more than a screen shows at this width
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        x: (n,) steps.
        y: (n,) values; what is no number breaks the line.
        style: CSS class of the line: ``faint``, ``main`` or ``dots`` (main with its points).
    """

    x: Sequence[float]
    y: Sequence[float | None]
    style: str = "main"


@dataclass(frozen=True)
class Level:
    """A dashed horizontal line to compare with."""

    y: float
    label: str


def smooth(values: Sequence[float | None], span: int) -> list[float | None]:
    """Running mean of exponentially fading weight, unbiased from the first value; None stays None.

    Args:
        values: (n,).
        span: about how many values the mean reaches back.
    """
    keep, total, weight, result = 1 - 1 / max(1, span), 0.0, 0.0, []
    for value in values:
        if not _is_number(value):
            result.append(None)
            continue
        total, weight = keep * total + value, keep * weight + 1
        result.append(total / weight)
    return result


def thin(x: Sequence[float], y: Sequence[float | None], most: int = _POINTS) -> tuple[list[float], list[float | None]]:
    """At most ``most`` points: neighbours are averaged, what is no number among them is left out."""
    count = min(len(x), len(y))
    if count <= most:
        return list(x[:count]), [value if _is_number(value) else None for value in y[:count]]
    groups = np.array_split(np.arange(count), most)
    means = []
    for group in groups:
        inside = [y[i] for i in group if _is_number(y[i])]
        means.append(float(np.mean(inside)) if inside else None)
    return [float(np.mean([x[i] for i in group])) for group in groups], means


def line_chart(title: str, series: Sequence[Series], *, x_label: str = "step", levels: Sequence[Level] = ()) -> str:
    """An SVG of lines over a common pair of axes; empty where no line has a value.

    Args:
        title: above the chart; the y axis' power of ten is added to it.
        series: drawn in their order.
        x_label: below the x axis.
        levels: dashed lines with their words.
    """
    lines = [(*thin(line.x, line.y), line.style) for line in series]
    points = [(x, y) for xs, ys, _ in lines for x, y in zip(xs, ys, strict=True) if y is not None]
    if not points:
        return ""
    levels = [level for level in levels if _is_number(level.y)]
    y_all = [y for _, y in points] + [level.y for level in levels]
    power = _power(max(map(abs, y_all)))
    x_ticks = _ticks(min(x for x, _ in points), max(x for x, _ in points), whole=True)
    y_ticks = _ticks(min(y_all), max(y_all))
    frame = _Frame((x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1]))
    shown = f"{title} (×10{str(power).translate(_SUPERSCRIPT)})" if power else title
    parts = [f'<text class="title" x="{_LEFT}" y="16">{html.escape(shown)}</text>']
    parts += [_y_tick(frame, tick, power) for tick in y_ticks] + [_x_tick(frame, tick) for tick in x_ticks]
    parts.append(
        f'<text class="tick" x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 6}" '
        f'text-anchor="middle">{html.escape(x_label)}</text>'
    )
    parts += [_level(frame, level) for level in levels]
    parts += [_line(frame, xs, ys, style) for xs, ys, style in lines]
    label = html.escape(f"{title} over {x_label}", quote=True)
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        + "".join(parts)
        + "</svg>"
    )


@dataclass(frozen=True)
class _Frame:
    """From values to places in the drawing."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)


def gap_bar(before: float, after: float, goal: float) -> str:
    """An SVG bar from the target's score before to the source's, filled as far as the adapter came.

    Empty where the source is no better than the target, so that there is no gap. All in percent.
    """
    if goal <= before:
        return ""
    low, high = min(before, after), max(goal, after)
    margin = 0.06 * (high - low)
    place = [1000 * (value - low + margin) / (high - low + 2 * margin) for value in (before, after, goal)]
    start, end = sorted(place[:2])
    parts = [_strip("track", place[0], place[2]), _strip("fill" if after >= before else "loss", start, end)]
    marks = [
        (before, "old", 86, "target before"),
        (after, "fill", 26, "target, adapter on"),
        (goal, "old", 86, "source before"),
    ]
    for x, (value, kind, y, words) in zip(place, marks, strict=True):
        anchor = "start" if x < 130 else "end" if x > 870 else "middle"
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="50" r="9"/>')
        parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{words}: {value:.1f} %</text>')
    return f'<svg viewBox="0 0 1000 100" role="img" aria-label="the gap">{"".join(parts)}</svg>'


def _strip(kind: str, start: float, end: float) -> str:
    return f'<rect class="{kind}" x="{start:.1f}" y="42" width="{end - start:.1f}" height="16" rx="8"/>'


def pair_of_bars(before: float | None, after: float | None) -> str:
    """A small SVG of two bars, in percent; a value that is no number has no bar."""
    bars = []
    for value, kind, y in ((before, "old", 1), (after, "fill", 8)):
        if _is_number(value):
            width = 2 * min(100.0, max(0.0, value))
            bars.append(f'<rect class="{kind}" x="0" y="{y}" width="{width:.1f}" height="5" rx="2.5"/>')
    return f'<svg viewBox="0 0 200 14" preserveAspectRatio="none" aria-hidden="true">{"".join(bars)}</svg>'


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _power(largest: float) -> int:
    """The power of ten taken out of the tick labels: 0 for everyday numbers."""
    if largest == 0 or 0.01 <= largest < 1e5:
        return 0
    return math.floor(math.log10(largest))


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-30):
        room = 1.0 if whole else abs(low) * 0.1 or 1.0
        low, high = low - room, high + room
    return [float(tick) for tick in MaxNLocator(nbins=5, integer=whole).tick_values(low, high)]


def _x_tick(frame: _Frame, tick: float) -> str:
    x = frame.x(tick)
    return f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">{tick:,.0f}</text>'


def _y_tick(frame: _Frame, tick: float, power: int) -> str:
    y = frame.y(tick)
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick / 10**power:.4g}</text>'
    )


def _level(frame: _Frame, level: Level) -> str:
    y = frame.y(level.y)
    return (
        f'<line class="level" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{_WIDTH - _RIGHT - 2}" y="{y - 5:.1f}" text-anchor="end">'
        f"{html.escape(level.label)}</text>"
    )


def _line(frame: _Frame, xs: Sequence[float], ys: Sequence[float | None], style: str) -> str:
    path, dots, pen = [], [], "M"
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            pen = "M"
            continue
        left, top = f"{frame.x(x):.1f}", f"{frame.y(y):.1f}"
        path.append(f"{pen}{left} {top}")
        dots.append(f'<circle class="dot" cx="{left}" cy="{top}" r="3.2"><title>{y:.4g}</title></circle>')
        pen = "L"
    name = "faint" if style == "faint" else "main"
    marks = "".join(dots) if style == "dots" or len(dots) == 1 else ""
    return f'<path class="{name}" d="{" ".join(path)}"/>{marks}'
