"""Line charts: values, gaps and labels arrive in the figure."""

import re

import pytest

from lvtune.viz.colours import AFTER
from lvtune.viz.curves import Level, Series, line_chart, power_of_ten, smooth, thin, with_power

COLOUR_OF_MARKER = f"fill: {AFTER}"


def paths(svg, kind):
    """Points of each line of a kind, in the figure's own units; y grows downwards."""
    groups = re.findall(rf'<g class="{kind}">(.*?)</g>', svg, re.DOTALL)
    found = [re.search(r' d="([^"]*)"', group).group(1) for group in groups]
    return [[tuple(map(float, point)) for point in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)] for path in found]


def test_larger_values_are_higher_up_and_later_ones_to_the_right():
    (points,) = paths(line_chart("Score", [Series([0, 50, 100], [30, 40, 35])]), "main")
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.1)
    assert y0 - y1 == pytest.approx(2 * (y0 - y2), abs=0.1)
    assert x0 < x1 and y1 < y2 < y0


def test_small_numbers_share_a_power_of_ten():
    svg = line_chart("Loss", [Series([1, 2], [0.001, 0.002])], y_label="loss")
    assert "loss (×10⁻³)" in svg
    assert ">1.0<" in svg and ">2.0<" in svg
    assert [power_of_ten(value) for value in (0, 0.01, 0.0099, 99_999, 1e5)] == [0, 0, -3, 0, 5]
    assert with_power("", -3) == "(×10⁻³)"


def test_axes_have_labels_and_steps_are_whole_numbers():
    svg = line_chart("Score", [Series([1, 2, 3], [1, 2, 3])], y_label="PCK@0.2 (%)")
    assert {"Score", "training step", "PCK@0.2 (%)", "1", "2", "3"} <= set(re.findall(r">([^<>\n]+)</text>", svg))
    assert not re.search(r">[123]\.5</text>.*training step", svg, re.DOTALL)


def test_levels_are_drawn_where_they_are_numbers():
    svg = line_chart("Score", [Series([1, 2], [40, 41])], levels=[Level(10, "<before> $x_"), Level(float("nan"), "no")])
    assert svg.count('class="level"') == 1
    assert "&lt;before&gt; $x_" in svg
    assert ">no<" not in svg


def test_gaps_where_a_value_is_no_number():
    svg = line_chart("Loss", [Series([1, 2, 3, 4, 5], [1, None, float("nan"), 2, float("inf")])])
    (points,) = paths(svg, "main")
    assert len(points) == 2
    assert re.search(r'<g class="main">.*? d="([^"]*)"', svg, re.DOTALL).group(1).count("M") == 2
    assert not re.search(r"\b(nan|inf)\b", svg)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1, 2], [None, float("nan")])])
def test_nothing_to_show(x, y):
    assert line_chart("Loss", [Series(x, y)]) == ""


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e-12, 1e12])
def test_a_single_or_constant_value_is_shown(value):
    for count in (1, 3):
        svg = line_chart("Loss", [Series(list(range(count)), [value] * count)])
        assert len(paths(svg, "main")[0]) == count
        assert (COLOUR_OF_MARKER in svg) == (count == 1)


def test_smoothing_is_unbiased_and_fades():
    assert smooth([2.0, 2.0, 2.0], 10) == pytest.approx([2.0, 2.0, 2.0])
    assert smooth([1.0, 3.0], 2) == pytest.approx([1.0, (0.5 * 1 + 3) / 1.5])
    assert smooth([1.0, None, float("nan"), 1.0], 5) == [1.0, None, None, 1.0]


def test_thinning_averages_neighbours():
    x, y = thin(list(range(1000)), [float(i) for i in range(1000)], most=10)
    assert x == y == [49.5 + 100 * i for i in range(10)]
    assert thin([1, 2, 3], [1.0, float("inf"), 3.0]) == ([1, 2, 3], [1.0, None, 3.0])
    assert thin([1, 2, 3, 4], [1.0, None, None, 4.0], most=2)[1] == [1.0, 4.0]
