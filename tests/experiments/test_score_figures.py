"""The figure of target against source scores: what becomes a point, how large, where it is drawn."""

import json

import pytest
from matplotlib.axes import Axes

from lvtune.core.errors import LvtuneError
from lvtune.experiments.reproducing import reproduce
from lvtune.experiments.score_figures import (
    Point,
    points_of_compare,
    points_of_reports,
    points_of_table,
    target_against_source,
)

POINTS = [
    Point("B", "sc", 77.9, 55.5, 90e6, "B", True),
    Point("B", "ft", 74.1, 66.8, 90e6, "B", True),
    Point("B", "ours", 77.9, 70.0, 90e6, "B"),
    Point("S", "ours", 75.9, 67.1, 24e6),
]


@pytest.fixture
def drawn(monkeypatch):
    """Circles and words as they are handed to matplotlib."""
    seen = {"circles": [], "words": []}
    scatter, annotate = Axes.scatter, Axes.annotate

    def circle(self, x, y, **style):
        seen["circles"].append((x, y, round(style["s"], 3), style["facecolors"] == "none", style["edgecolors"]))
        return scatter(self, x, y, **style)

    def word(self, text, *args, **style):
        seen["words"].append(text)
        return annotate(self, text, *args, **style)

    monkeypatch.setattr(Axes, "scatter", circle)
    monkeypatch.setattr(Axes, "annotate", word)
    return seen


def test_circles_lie_at_the_scores_with_areas_by_size(drawn, tmp_path):
    file = target_against_source(POINTS, tmp_path / "deep/figure.png", source="COCO", target="art")
    assert file.read_bytes()[:4] == b"\x89PNG"
    circles = {(x, y): (area, empty, colour) for x, y, area, empty, colour in drawn["circles"]}
    assert set(circles) == {(p.source, p.target) for p in POINTS}
    assert circles[77.9, 70.0][0] / circles[75.9, 67.1][0] == pytest.approx(90 / 24)
    assert circles[77.9, 55.5][1] and not circles[77.9, 70.0][1]  # published ones are empty
    assert circles[77.9, 70.0][2] == circles[75.9, 67.1][2] != circles[74.1, 66.8][2]  # a colour for a method
    assert sorted(drawn["words"]) == ["B", "S"]  # a group is named once


@pytest.mark.parametrize("name", ["f.svg", "f.pdf"])
def test_other_formats(tmp_path, name):
    assert target_against_source(POINTS[:1], tmp_path / name).stat().st_size > 1000


def test_what_cannot_be_drawn_is_told(tmp_path):
    with pytest.raises(LvtuneError, match="no model with a source and a target score"):
        target_against_source([], tmp_path / "f.png")
    with pytest.raises(LvtuneError, match=r"figure .*f\.xyz"):
        target_against_source(POINTS, tmp_path / "f.xyz")


def test_points_of_the_main_table(tmp_path):
    """As figure 1 of the paper: ViTPose alone, AP with detector boxes, one line for each series."""
    values = reproduce("vlpose-main", runs=tmp_path)
    points = points_of_table(values)
    assert len(points) == 12 and all(point.is_reference for point in points)
    found = {(p.group, p.series): p for p in points}
    assert {series for _, series in found} == {"sc", "ft", "VLPose"}
    assert {group for group, _ in found} == {f"ViTPose-{size}" for size in "SBLH"}
    large = found["ViTPose-H", "VLPose"]
    assert (large.source, large.target, large.parameters) == (78.84, 43.03, 637_208_849)
    assert found["ViTPose-H", "sc"].parameters == large.parameters  # the circle says how large the whole model is


def test_the_figure_joins_each_series(tmp_path, monkeypatch):
    joined, plot = [], Axes.plot

    def line(self, x, y, *args, **style):
        joined.append((x, y))
        return plot(self, x, y, *args, **style)

    monkeypatch.setattr(Axes, "plot", line)
    points = points_of_table(reproduce("vlpose-main", runs=tmp_path))
    target_against_source(points, tmp_path / "figure.png")
    assert ([73.92, 75.75, 78.18, 78.84], [30.57, 34.33, 40.18, 43.03]) in joined  # VLPose, S to H
    assert ([69.34, 72.0, 75.44, 75.1], [28.1, 32.55, 38.5, 40.77]) in joined and len(joined) == 3
    # a table that says nothing of lines joins each group, as before
    joined.clear()
    target_against_source(points_of_table(reproduce("humanart-vitpose", runs=tmp_path)), tmp_path / "other.png")
    assert len(joined) == 4


def test_points_of_reports(tmp_path):
    side = {"before": {"pck@0.2": 40.0}, "after_on": {"pck@0.2": 45.0}}
    for name, method, target in (("a", "lora", 45.0), ("b", "vlpose", 47.0), ("c", "norm", None)):
        values = {"base": {"name": "vitpose-ti"}, "recipe": {"method": method}, "adapter": {"parameters": 1000},
                  "source": side, "target": {**side, "after_on": {"pck@0.2": target}}}  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    points = points_of_reports(sorted(tmp_path.glob("*.json")))
    assert [(p.series, p.source, p.target, p.parameters) for p in points] == [
        ("vitpose-ti alone", 40.0, 40.0, 0),
        ("lora", 45.0, 45.0, 1000),
        ("vlpose", 45.0, 47.0, 1000),
    ]


@pytest.mark.parametrize("wrapped", [True, False])
def test_points_of_a_comparison(tmp_path, wrapped):
    cells = [{"method": "lora", "parameters": 10, "target": 30.5, "source": 48.0, "seed": 0},
             {"method": "full", "parameters": 99, "target": None, "source": 47.0}]  # fmt: skip
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"cells": cells} if wrapped else cells))
    assert points_of_compare(file) == [Point("lora", "lora", 48.0, 30.5, 10.0)]
    file.write_text(json.dumps([{"method": "lora"}]))
    with pytest.raises(LvtuneError, match="without `parameters`"):
        points_of_compare(file)
    with pytest.raises(LvtuneError, match="does not exist"):
        points_of_compare(tmp_path / "lost.json")
