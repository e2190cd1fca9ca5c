"""Key points that no label teaches are named, and get no probability."""

import json
from dataclasses import replace

import numpy as np
import pytest
from own_files import MOUSE, draw_pictures, mice, write

import lvtune
from lvtune.adapters.grown import METHOD
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.api.unlearnt import unlearnt_keypoints
from lvtune.evaluation.calibration import calibration_of
from lvtune.prediction.pose_confidence import confidence_notes


def recipe_of(folder, without=(), count=80, names=None, **more):
    """A recipe for ``count`` pictures in which nobody labelled the key points ``without``; ``names`` renames some."""
    data = mice(count)
    data["categories"][0]["keypoints"] = [(names or {}).get(name, name) for name in MOUSE]
    draw_pictures(data, folder)
    for one in data["annotations"]:
        for name in without:
            one["keypoints"][3 * MOUSE.index(name) + 2] = 0
    values = {"domain": "custom", "base": "timm:resnet10t", "weights": "random", "device": "cpu", "method": "head",
              "gate": False, "train": {"steps": 1, "batch_size": 4},
              "data": {"data": str(folder), "annotations": str(write(data, folder))}}  # fmt: skip
    return Recipe.from_dict({**values, **more})


def test_they_are_named_before_the_tuning(tmp_path):
    job = prepare(recipe_of(tmp_path, ["left_hip", "tail"], count=12))
    (line,) = (one.line() for one in job.decisions if one.what == "not learnt")
    assert line.startswith("not learnt: tail") and "left_hip" not in line.split("(")[0]  # the base knows hips
    assert not any(one.what == "not learnt" for one in prepare(recipe_of(tmp_path, count=12)).decisions)


@pytest.mark.parametrize("option", ["start", "after", "grow"])
def test_what_the_adapter_knows_at_which_the_run_begins_is_not_named(option, tmp_path):
    before = tmp_path / "before"
    lvtune.adapt(recipe_of(tmp_path / "first", count=12, out=str(before), calibrate="none"))
    job = prepare(recipe_of(tmp_path / "second", ["tail", "left_hip"], count=12))
    assert unlearnt_keypoints(job.recipe, job.base, job.train) == ["tail"]
    recipe = replace(job.recipe, **{option: str(before)}, method=METHOD if option == "grow" else "head")
    assert unlearnt_keypoints(recipe, job.base, job.train) == []


@pytest.mark.parametrize("option", ["start", "after", "grow"])
def test_what_it_does_not_know_either_is_named(option, tmp_path):
    before = tmp_path / "before"
    lvtune.adapt(recipe_of(tmp_path / "first", names={"tail": "end"}, count=12, out=str(before), calibrate="none"))
    job = prepare(recipe_of(tmp_path / "second", ["tail"], count=12))
    recipe = replace(job.recipe, **{option: str(before)}, method=METHOD if option == "grow" else "head")
    assert unlearnt_keypoints(recipe, job.base, job.train) == ["tail"]


@pytest.mark.parametrize(("flip", "named"), [(0.5, []), (0.0, ["right_wing"])])
def test_mirrored_pictures_teach_one_side_what_the_other_is(flip, named, tmp_path):
    """The base does not know wings; pictures are mirrored unless ``flip`` is 0."""
    names = {"left_hip": "left_wing", "right_hip": "right_wing"}
    train = {"steps": 1, "batch_size": 4, "augment": {"flip": flip}}
    job = prepare(recipe_of(tmp_path, ["right_hip"], names=names, count=12, train=train))
    assert unlearnt_keypoints(job.recipe, job.base, job.train) == named
    without = recipe_of(tmp_path, ["right_hip", "left_hip"], names=names, count=12, train=train)
    job = prepare(without)
    assert unlearnt_keypoints(job.recipe, job.base, job.train) == ["left_wing", "right_wing"]


def test_what_the_start_knows_is_not_named(tmp_path):
    start = tmp_path / "start"
    lvtune.adapt(recipe_of(tmp_path / "first", count=12, out=str(start), calibrate="none"))
    job = prepare(recipe_of(tmp_path / "second", ["tail"], count=12, start=str(start)))
    assert job.warm_start is not None
    assert unlearnt_keypoints(job.recipe, job.base, job.train) == []
    assert not any(one.what == "not learnt" for one in job.decisions)


def test_the_start_that_ships_knows_what_its_base_knows(tmp_path):
    recipe = recipe_of(tmp_path, ["left_hip", "tail"], count=12, base="vitpose-ti", weights="pretrained",
                       method="vlpose-light")  # fmt: skip
    job = prepare(recipe)
    assert job.warm_start is not None and not job.warm_start.misfit
    assert unlearnt_keypoints(job.recipe, job.base, job.train) == ["tail"]


def test_their_probability_is_0_and_that_is_said(tmp_path):
    out = tmp_path / "out"
    lvtune.adapt(recipe_of(tmp_path / "data", ["tail"], out=str(out)))
    adapter = lvtune.load_adapter(out, lvtune.load_base("timm:resnet10t", "random"))
    found = calibration_of(adapter)
    assert found is not None and found.not_learnt == ["tail"]
    generator = np.random.default_rng(0)
    peaks, spreads = generator.uniform(0.1, 1, (5, 6)), generator.uniform(1, 9, (5, 6))
    said = found.of(False)(peaks, spreads)
    tail = MOUSE.index("tail")
    assert (said.scores[:, tail] < 1e-9).all() and (np.delete(said.scores, tail, 1) > 0.001).all()
    others = np.delete(found.plain.oks(np.stack([peaks, np.log(spreads)], -1)), tail, 1)
    assert said.oks == pytest.approx(others.mean(1)) and np.isfinite(said.radii).all()
    assert any("score: 0 for tail, which no label taught to A" in note for note in confidence_notes({"A": found}))
    assert json.loads((out / "lvtune_config.json").read_text())["calibration"]["keypoints"] == MOUSE
