"""Charts of scores before and after adapting: the gap, the parts of the gain, and each key point."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from lvtune.viz.colours import AFTER, BEFORE, OKABE_ITO, WORSE
from lvtune.viz.svg_figures import GRID, INK, inline_svg, new_figure, page_style

KeyPoint = tuple[str, float | None, float | None]
"""Name, value before, value with the adapter on; None: no value."""


def gap_chart(
    before: float, after: float, goal: float, *, title: str, unit: str, less_is_better: bool = False
) -> Markup:
    """Draws the gap between target and source on one axis as SVG, filled as far as the adapter closed it.

    Args:
        before: target score of the base alone.
        after: target score with the adapter on.
        goal: source score of the base alone.
        title: name of the score with its unit, below the axis.
        unit: of the three scores.
        less_is_better: the scores are errors.

    Returns:
        An empty text if the target was no worse than the source, so that there is no gap.
    """
    sign = -1 if less_is_better else 1
    if sign * (goal - before) <= 0:
        return Markup("")
    with page_style():
        figure, axes = new_figure(9.4, 1.25)
        axes.plot([before, goal], [0, 0], color=GRID, linewidth=9, solid_capstyle="round", gid="lv-track")
        is_better = sign * (after - before) >= 0
        line = {"linewidth": 9, "solid_capstyle": "round", "gid": "lv-fill" if is_better else "lv-loss"}
        axes.plot([before, after], [0, 0], color=AFTER if is_better else WORSE, **line)
        marks = [
            (before, BEFORE, -1, "target, base alone"),
            (after, AFTER if is_better else WORSE, 1, "target, adapter on"),
            (goal, BEFORE, -1, "source, base alone"),
        ]
        low, high = min(before, after, goal), max(before, after, goal)
        for value, colour, side, words in marks:
            axes.plot([value], [0], color=colour, marker="o", markersize=11)
            share = (value - low) / (high - low)
            anchor = "left" if share < 0.12 else "right" if share > 0.88 else "center"
            label = f"{words}: {value:.1f} {unit}"
            axes.annotate(label, (value, 0), (0, 17 * side), textcoords="offset points", ha=anchor, va="center")
        axes.set(ylim=(-1, 1), xlabel=title)
        axes.margins(x=0.02)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        return inline_svg(figure, "Gap between target and source")


def gain_chart(parts: Sequence[tuple[str, float]], before: float, *, title: str) -> Markup:
    """Draws how a score goes from the base alone to the adapter, step by step, as SVG.

    Args:
        parts: (label, change of the score), in their order.
        before: the score of the base alone.
        title: name of the score with its unit, below the axis.
    """
    with page_style():
        figure, axes = new_figure(9.4, 0.75 + 0.34 * (len(parts) + 2))
        rows = [("base alone", 0.0, before, BEFORE)]
        reached = before
        for i, (label, change) in enumerate(parts):
            rows.append((f"{label}: {change:+.1f}", reached, change, OKABE_ITO[(4, 2)[i % 2]]))
            reached += change
        rows.append(("adapter on", 0.0, reached, AFTER))
        places = range(len(rows))
        axes.barh(places, [row[2] for row in rows], left=[row[1] for row in rows], color=[row[3] for row in rows])
        axes.set_yticks(places, [row[0] for row in rows])
        for place, (_, left, width, _) in zip(places, rows, strict=True):
            end = max(left, left + width)
            axes.annotate(f"{left + width:.1f}", (end, place), (4, 0), textcoords="offset points", va="center")
        axes.invert_yaxis()
        axes.set(xlabel=title)
        axes.margins(x=0.08)
        axes.grid(axis="y", visible=False)
        return inline_svg(figure, "Parts of the gain")


def keypoint_chart(points: Sequence[KeyPoint], *, unit: str) -> Markup:
    """Draws each key point's figure before and with the adapter on, joined by a line, as SVG; empty without values.

    Args:
        points: name, value before, value with the adapter on; a value of None is left out.
        unit: of the values.
    """
    shown = [point for point in points if point[1] is not None or point[2] is not None]
    if not shown:
        return Markup("")
    befores, afters = [before for _, before, _ in shown], [after for _, _, after in shown]
    with page_style():
        figure, axes = new_figure(9.4, 0.9 + 0.22 * len(shown))
        for place, (_, before, after) in enumerate(shown):
            if before is not None and after is not None:
                axes.plot([before, after], [place, place], color=GRID, linewidth=3, zorder=1)
        for side, colour, label in zip((befores, afters), (BEFORE, AFTER), ("base alone", "adapter on"), strict=True):
            values = [math.nan if value is None else value for value in side]
            # readers can tell the markers apart without colours, and see both where the values are equal
            marker, size = ("o", 62) if side is befores else ("D", 30)
            gid = f"lv-{label.split()[0]}"
            axes.scatter(values, range(len(shown)), s=size, color=colour, marker=marker, label=label, gid=gid, zorder=2)
        axes.set_yticks(range(len(shown)), [name for name, _, _ in shown], color=INK)
        axes.set(xlabel=unit, ylim=(len(shown) - 0.4, -0.6))
        figure.legend(loc="outside upper right", ncols=2)
        return inline_svg(figure, f"Key points before and with the adapter on, {unit}")
