"""Own data with a time budget: size and steps follow from the time of a step, and both are told."""

import json

import pytest
import torch
from test_own_defaults import MOUSE, job_of, own_data, said
from tiny import tiny_base

import lvtune
from lvtune.api import size_choice
from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import BASES
from lvtune.bases.fingerprint import fingerprint
from lvtune.data.skeletons import LSP_14
from lvtune.training.engine import make_accelerator
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.step_time import seconds_per_step


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(
        BASES._entries, "vitpose-tiny", lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14)
    )


@pytest.fixture
def timed(monkeypatch):
    """A step takes 0.1 s at the size at which it is timed; the sizes and batch sizes that were timed."""
    seen = []

    def seconds(base, adapter, data, loss_of, batch_size, accelerator):
        seen.append((base.input_size, batch_size))
        return 0.1

    monkeypatch.setattr(size_choice, "seconds_per_step", seconds)
    return seen


def test_enough_time_leaves_the_size_as_it_is(tmp_path, timed):
    job = job_of(tmp_path, train={"minutes": 5.0})
    assert job.base.input_size == (80, 80) and timed == [((64, 64), 16)]
    lines = {line.what: line for line in job.decisions}
    assert lines["steps"].value.startswith("about ") and "300 are usual" in lines["steps"].why
    assert "too few" not in lines["input size"].why and "would get" not in lines["input size"].why


def test_little_time_makes_the_pictures_smaller(tmp_path, timed):
    job = job_of(tmp_path, train={"minutes": 0.35})
    assert job.base.input_size == (64, 64) and job.recipe.base_options.input_size == "64x64"
    assert job.recipe.train.minutes == 0.35 and job.recipe.train.batch_size == 16
    line = next(line for line in job.decisions if line.what == "input size")
    assert line.value == "64x64" and "80x80 would get about" in line.why and "of the usual 300 steps" in line.why
    # eight of ten pictures are tuned on, so the guard takes its fifth of the time
    assert said(job)["steps"] == f"about {int(0.95 * 60 * 0.35 * 0.8 / 0.1)} of 16 pictures"


def test_a_size_that_the_user_set_stays(tmp_path, timed):
    job = job_of(tmp_path, base_options={"input_size": "80x80"}, train={"minutes": 0.1, "batch_size": 4})
    assert job.base.input_size == (80, 80) and timed == [((80, 80), 4)]
    assert said(job)["input size"] == "80x80" and said(job)["steps"].endswith("of 4 pictures")


def test_nothing_is_timed_without_a_budget(tmp_path, timed):
    job_of(tmp_path)
    assert timed == []


def test_a_run_with_a_budget_keeps_to_it(tmp_path):
    recipe = Recipe.from_dict({
        "base": "vitpose-tiny", "method": "lora", "device": "cpu", "data": own_data(tmp_path / "own", MOUSE, 175.0),
        "train": {"minutes": 0.02, "batch_size": 4, "guard": 0}, "out": str(tmp_path / "out"),
    })  # fmt: skip
    lines = []
    report = lvtune.adapt(recipe, say=lines.append).to_dict()
    found = {line["what"]: line for line in json.loads((tmp_path / "out/report.json").read_text())["decisions"]}
    assert found["input size"]["value"] == report["recipe"]["base_options"]["input_size"] in ("64x64", "80x80")
    assert found["steps"]["value"].startswith("about ") and any(line.startswith("steps: about ") for line in lines)
    assert len(report["curves"]["steps"]) >= 1


def test_timing_changes_nothing(tmp_path):
    job = job_of(tmp_path)
    before, state = fingerprint(job.base), {n: v.clone() for n, v in job.adapter.state_dict().items()}
    from lvtune.evaluation.inference import split_dataset

    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    data = split_dataset(job.base, job.train, cache=True)
    assert seconds_per_step(job.base, job.adapter, data, HeatmapObjective(), 3, make_accelerator("cpu", "bf16")) > 0
    assert torch.equal(torch.rand(2), expected) and fingerprint(job.base) == before and not job.base.training
    assert all(torch.equal(v, state[n]) for n, v in job.adapter.state_dict().items())
    assert all(p.grad is None for p in job.adapter.parameters())
