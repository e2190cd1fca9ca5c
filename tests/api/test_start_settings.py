"""Without labels, a run has the input size and the flip test of the adapter that it begins at."""

import json

import pytest
import torch
from own_files import draw_pictures, mice, write

import lvtune
from lvtune.adapters.factory import create_adapter
from lvtune.api.adapting import adapt
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import load_base
from lvtune.storage.adapter_file import read


@pytest.fixture
def data(tmp_path):
    found = mice(24)
    draw_pictures(found, tmp_path)
    return {"data": str(tmp_path), "annotations": str(write(found, tmp_path))}


def start_of(folder, data, size, flip_test):
    base = load_base("vitpose-ti", "random")
    base.set_input_size(size)
    kind = prepare(recipe({**data, "shots": 4}, unlabelled=None)).adapter.skeleton
    adapter = create_adapter("lora", base, skeleton=kind)
    told = {"recipe": {"evaluate": {"flip_test": flip_test}}}
    return str(lvtune.save_adapter(adapter, folder, base, training=told))


def recipe(data, **more):
    values = {
        "base": "vitpose-ti", "weights": "random", "method": "lora", "device": "cpu", "unlabelled": "train",
        "gate": False, "calibrate": "none", "data": {"shots": 0, **data},
    }  # fmt: skip
    return Recipe.from_dict({**values, **more})


def test_the_settings_of_the_start_are_taken_and_said(tmp_path, data):
    start = start_of(tmp_path / "start", data, (96, 64), flip_test=False)
    job = prepare(recipe(data, start=start))
    assert job.base.input_size == (96, 64) and job.recipe.base_options.input_size == "96x64"
    assert not job.recipe.evaluate.flip_test
    lines = [line.line() for line in job.decisions]
    assert "input size: 96x64 (that of the start)" in lines
    assert "flip test: none (the start was tuned without it)" in lines


def test_a_size_that_was_asked_for_stays(tmp_path, data):
    start = start_of(tmp_path / "start", data, (96, 64), flip_test=True)
    job = prepare(recipe(data, start=start, base_options={"input_size": "64x64"}))
    assert job.base.input_size == (64, 64) and job.recipe.evaluate.flip_test
    assert "input size: 64x64 (as the recipe says)" in [line.line() for line in job.decisions]


def test_a_run_of_which_nothing_is_kept_is_its_start(tmp_path, data):
    start = start_of(tmp_path / "start", data, (64, 64), flip_test=True)
    sure = {"confidence": 1e-3, "agreement": 5.0}  # a random teacher is sure of nothing
    given = recipe(
        data, start=start, out=str(tmp_path / "run"), train={"steps": 1, "batch_size": 2}, objective_options=sure
    )
    report = adapt(given).to_dict()
    assert report["unlabelled"]["share"] == 0
    (before, config), (after, theirs) = read(start), read(tmp_path / "run")
    assert config["base"]["input_size"] == theirs["base"]["input_size"] == [64, 64]
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert json.loads((tmp_path / "run" / "report.json").read_text())["recipe"]["base_options"]["input_size"] == "64x64"
