"""Charts of scores: lengths and labels, for scores and for errors; and the same bytes on every drawing."""

import re
import warnings

import pytest

from lvtune.viz.colours import AFTER, BEFORE, OKABE_ITO, WORSE
from lvtune.viz.score_charts import gain_chart, gap_chart, keypoint_chart


def strip(svg, kind):
    """Left end and length of a thick line."""
    (start, end) = map(float, re.search(rf'<g class="{kind}">\s*<path d="M ([\d.]+) [\d.]+\s+L ([\d.]+)', svg).groups())
    return start, end - start


def words(svg):
    return re.findall(r">([^<>]+)</text>", svg)


def gap(*scores, less=False):
    return gap_chart(*scores, title="PCK@0.2 (%)", unit="%", less_is_better=less)


def test_the_gap_is_filled_as_far_as_it_was_closed():
    svg = gap(30, 35, 50)
    (left, whole), (start, length) = strip(svg, "track"), strip(svg, "fill")
    assert start == pytest.approx(left)
    assert length == pytest.approx(0.25 * whole, rel=0.01)
    assert {"target, base alone: 30.0 %", "target, adapter on: 35.0 %", "source, base alone: 50.0 %"} <= set(words(svg))
    assert "PCK@0.2 (%)" in words(svg)
    assert strip(gap(30, 55, 50), "fill")[1] > strip(gap(30, 55, 50), "track")[1]
    assert gap(50, 52, 50) == ""


def test_a_loss_is_drawn_to_the_other_side_in_another_colour():
    svg = gap(30, 25, 50)
    assert strip(svg, "loss")[1] < 0 and 'class="fill"' not in svg
    assert WORSE in svg and AFTER not in svg


def test_of_errors_less_is_better():
    svg = gap(9, 4, 3, less=True)
    assert strip(svg, "fill")[1] == pytest.approx(5 / 6 * strip(svg, "track")[1], rel=0.01)
    assert gap(3, 2, 9, less=True) == ""


def test_parts_of_the_gain_begin_where_the_last_one_ended():
    svg = gain_chart([("from the start", 5.0), ("from tuning", -2.0)], 20.0, title="PCK@0.2 (%)")
    bars = re.findall(r'd="M ([\d.]+) [\d.]+\s+L ([\d.]+) [^"]*" clip[^"]*"[^"]*" style="fill: (#\w+)', svg)
    spans = {colour: sorted((float(one), float(other))) for one, other, colour in bars}
    base, started, tuned = spans[BEFORE], spans[OKABE_ITO[4]], spans[OKABE_ITO[2]]
    assert started[0] == pytest.approx(base[1]) and tuned[1] == pytest.approx(started[1])
    assert started[1] - started[0] == pytest.approx(0.25 * (base[1] - base[0]), rel=0.01)
    assert spans[AFTER][1] == pytest.approx(tuned[0])
    assert {"from the start: +5.0", "from tuning: -2.0", "20.0", "25.0", "23.0"} <= set(words(svg))


def test_key_points_without_a_value_are_left_out():
    points = [("nose", 10.0, 20.0), ("tail", None, 5.0), ("lost", None, None), ("<b>$x", 3.0, None)]
    svg = keypoint_chart(points, unit="mean error in px")
    assert {"nose", "tail", "&lt;b&gt;$x", "mean error in px", "base alone", "adapter on"} <= set(words(svg))
    assert "lost" not in svg
    for kind, count in (("base", 2), ("adapter", 2)):
        group = re.search(rf'<g class="{kind}">(.*?)</g>\s*</g>', svg, re.DOTALL).group(1)
        assert group.count("<use") == count
    assert keypoint_chart(points[2:3], unit="px") == ""


def test_a_figure_is_the_same_each_time_and_takes_the_colours_of_the_page():
    one, other = (keypoint_chart([("nose", 1.0, 2.0)], unit="px") for _ in range(2))
    assert one == other
    assert "var(--ink)" in one and "var(--line)" in one
    assert not re.search(r"xmlns|<\?xml|<!DOCTYPE|<style|<metadata|20\d\d-\d\d", one)
    assert not re.search(r"fill: (#fff|white|#000000)", one)
    ids = re.findall(r' id="([^"]+)"', one)
    assert len(ids) == len(set(ids)) and not set(ids) & set(re.findall(r' id="([^"]+)"', gap(1, 2, 3)))


def test_letters_that_the_font_lacks_are_left_to_the_browser():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "鼻" in keypoint_chart([("鼻", 1.0, 2.0)], unit="px")
