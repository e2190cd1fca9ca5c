"""Charts: the numbers end up where the axes say."""

import re

import pytest

from lvtune.viz.curves import Level, Series, gap_bar, line_chart, pair_of_bars, smooth, thin


def places(svg, kind):
    (path,) = re.findall(rf'<path class="{kind}" d="([^"]*)"', svg)
    return [tuple(map(float, point)) for point in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def ticks(svg, anchor):
    found = re.findall(rf'<text class="tick" x="([\d.]+)" y="([\d.]+)" text-anchor="{anchor}">([^<]*)<', svg)
    return {label: (float(x), float(y)) for x, y, label in found}


def test_points_lie_on_their_ticks():
    svg = line_chart("Score", [Series([0, 50, 100], [30, 40, 35])])
    points, x, y = places(svg, "main"), ticks(svg, "middle"), ticks(svg, "end")
    assert [p[0] for p in points] == pytest.approx([x["0"][0], (x["0"][0] + x["100"][0]) / 2, x["100"][0]], abs=0.1)
    assert points[0][1] == pytest.approx(y["30"][1] - 4, abs=0.1)
    assert points[1][1] == pytest.approx(y["40"][1] - 4, abs=0.1)
    assert points[1][1] < points[2][1] < points[0][1], "larger values are higher up"


def test_small_numbers_share_a_power_of_ten():
    svg = line_chart("Loss", [Series([1, 2], [0.001, 0.002])])
    assert "Loss (×10⁻³)" in svg
    assert {"1", "2"} <= ticks(svg, "end").keys()


def test_levels_are_inside_the_axes():
    svg = line_chart("Score", [Series([1, 2], [40, 41])], levels=[Level(10, "<before>"), Level(float("nan"), "x")])
    assert svg.count('class="level"') == 1
    assert "&lt;before&gt;" in svg
    labels = [float(label) for label in ticks(svg, "end") if label[0].isdigit()]
    assert min(labels) <= 10
    assert max(labels) >= 41


def test_gaps_where_a_value_is_no_number():
    svg = line_chart("Loss", [Series([1, 2, 3, 4, 5], [1, None, float("nan"), 2, float("inf")])])
    assert re.findall(r'd="([^"]*)"', svg)[0].count("M") == 2
    assert "nan" not in svg
    assert "inf" not in svg


@pytest.mark.parametrize(("x", "y"), [([], []), ([1, 2], [None, float("nan")])])
def test_nothing_to_show(x, y):
    assert line_chart("Loss", [Series(x, y)]) == ""


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e-12, 1e12])
def test_a_single_or_constant_value_is_shown(value):
    for count in (1, 3):
        svg = line_chart("Loss", [Series(list(range(count)), [value] * count)])
        assert len(places(svg, "main")) == count
        assert svg.count("<circle") == (1 if count == 1 else 0)


def test_smoothing_is_unbiased_and_fades():
    assert smooth([2.0, 2.0, 2.0], 10) == pytest.approx([2.0, 2.0, 2.0])
    assert smooth([1.0, 3.0], 2) == pytest.approx([1.0, (0.5 * 1 + 3) / 1.5])
    assert smooth([1.0, None, float("nan"), 1.0], 5) == [1.0, None, None, 1.0]


def test_thinning_averages_neighbours():
    x, y = thin(list(range(1000)), [float(i) for i in range(1000)], most=10)
    assert x == y == [49.5 + 100 * i for i in range(10)]
    assert thin([1, 2, 3], [1.0, float("inf"), 3.0]) == ([1, 2, 3], [1.0, None, 3.0])
    assert thin([1, 2, 3, 4], [1.0, None, None, 4.0], most=2)[1] == [1.0, 4.0]


def test_gap_is_filled_as_far_as_it_was_closed():
    def strips(svg):
        found = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="42" width="([\d.]+)"', svg)
        return {kind: (float(x), float(width)) for kind, x, width in found}

    shown = strips(gap_bar(30, 35, 50))
    assert shown["fill"][0] == shown["track"][0]
    assert shown["fill"][1] == pytest.approx(0.25 * shown["track"][1], abs=0.2)
    worse = strips(gap_bar(30, 25, 50))
    assert worse["loss"][0] + worse["loss"][1] == pytest.approx(worse["track"][0], abs=0.2)
    assert strips(gap_bar(30, 55, 50))["fill"][1] > strips(gap_bar(30, 55, 50))["track"][1]
    assert gap_bar(50, 52, 50) == ""


def test_bars_are_percent():
    assert re.findall(r'class="(\w+)" x="0" y="\d" width="([\d.]+)"', pair_of_bars(25, 150)) == [
        ("old", "50.0"),
        ("fill", "200.0"),
    ]
    assert "rect" not in pair_of_bars(None, float("nan"))
