"""The benchmark of labels that contradict each other: its rules and its measure."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "conflicting_labels.py"
NAMES = ["left_wrist", "right_wrist", "left_elbow", "right_elbow", "neck", "head_top"]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("conflicting_labels", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_conventions(benchmark):
    points = np.arange(6)
    assert benchmark.convert(points, "labelled", NAMES).tolist() == [0, 1, 2, 3, 4, 5]
    assert benchmark.convert(points, "neck", NAMES).tolist() == [0, 1, 2, 3, 4, 4]
    assert benchmark.convert(points, "elbow", NAMES).tolist() == [2, 3, 2, 3, 4, 5]
    assert benchmark.convert(points, "mirrored", NAMES).tolist() == [1, 0, 3, 2, 4, 5]


def test_who_does_as_told_has_100_and_who_cannot_read_50(benchmark):
    rng = np.random.default_rng(0)
    poses = rng.uniform(0, 100, (40, 6, 2))
    rule = {name: np.stack([benchmark.convert(p, name, NAMES) for p in poses]) for name in benchmark.WORDS}
    asked = benchmark.Answers(rule, {name: np.ones((40, 6)) for name in rule})
    torso = np.full(40, 30.0)
    assert asked.obeyed(rule.__getitem__, torso) == 100
    assert asked.obeyed(lambda name: poses, torso) == 50
    assert asked.obeyed(lambda name: rng.uniform(0, 100, (40, 6, 2)), torso) == pytest.approx(50, abs=12)
    drawn = [asked.obeyed(benchmark.shuffled(rule, seed).__getitem__, torso) for seed in range(20)]
    assert np.mean(drawn) == pytest.approx(50, abs=4)


def test_pictures_where_conventions_coincide_do_not_count(benchmark):
    same = np.ones((3, 6, 2))
    asked = benchmark.Answers(dict.fromkeys(benchmark.WORDS, same), dict.fromkeys(benchmark.WORDS, np.ones((3, 6))))
    assert np.isnan(asked.follows(same, "neck", "labelled", np.full(3, 30.0))).all()
