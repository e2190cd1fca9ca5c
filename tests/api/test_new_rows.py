"""Rows of new key points begin at those of like points only where these fit the pictures better."""

import json

import pytest
import torch
from test_own_defaults import MOUSE, job_of, own_data
from tiny import tiny_base

import lvtune
from lvtune.api.new_rows import WHAT, NewRows
from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import BASES
from lvtune.data.skeletons import LSP_14

HEAD, HIPS = LSP_14.keypoints.index("head_top"), [LSP_14.keypoints.index(f"{s}_hip") for s in ("right", "left")]


@pytest.fixture
def base_with(monkeypatch):
    """A tiny base whose head and hips answer nothing, or nothing else does."""

    def make(quiet):
        def load(weights, revision=None, seed=0):
            base = tiny_base(skeleton=LSP_14)
            like = torch.zeros(14, dtype=torch.bool)
            like[[HEAD, *HIPS]] = True
            with torch.no_grad():
                for value in base.predictor.parameters():
                    value[like if quiet else ~like] = 0.0
                    value[~like if quiet else like] *= 3
            return base

        monkeypatch.setitem(BASES._entries, "vitpose-tiny", load)

    return make


def chosen(job):
    rows = NewRows(job)
    rows.choose()
    return rows


def own_rows(job):
    return job.adapter.trained_predictors()[0].weight.detach()


def test_rows_that_fit_better_are_taken(tmp_path, base_with):
    base_with(quiet=True)
    job = job_of(tmp_path)
    rows, theirs = chosen(job), job.base.predictor.weight
    assert rows.kept == (0, 1, 2, 3) and all(loss.like < loss.mean for loss in rows.losses.values())
    assert torch.equal(own_rows(job)[0], theirs[HEAD]) and torch.equal(own_rows(job)[3], theirs[HIPS].mean(0))
    assert rows.decision.what == WHAT and rows.decision.value.startswith("snout as head_top, left_ear as head_top")
    assert rows.decision.why == "lower loss on 8 training pictures" and "others" not in rows.decision.value


def test_rows_that_fit_worse_are_not(tmp_path, base_with):
    base_with(quiet=False)
    job = job_of(tmp_path)
    before = own_rows(job).clone()
    rows = chosen(job)
    assert rows.kept == () and torch.equal(own_rows(job), before)
    assert rows.decision.value == "the mean of the base's" and "not better on 8 training pictures" in rows.decision.why
    assert [one["kept"] for one in rows.to_dict()] == [False] * 4


@pytest.mark.parametrize(("word", "kept"), [("like", (0, 1, 2, 3)), ("mean", ())])
def test_the_user_may_say_it(tmp_path, base_with, word, kept):
    base_with(quiet=False)
    job = job_of(tmp_path, train={"new_rows": word})
    rows = chosen(job)
    assert rows.kept == kept and rows.losses == {} and rows.decision.why == "as the recipe says"
    assert torch.equal(own_rows(job)[0], job.base.predictor.weight[HEAD]) == (word == "like")


def test_rows_of_a_warm_start_stay(tmp_path, base_with):
    base_with(quiet=True)
    job = job_of(tmp_path, train={"new_rows": "like"})
    with torch.no_grad():
        job.adapter.trained_predictors()[0].weight[0] += 1.0  # as a start that knows the snout has it
    before = own_rows(job).clone()
    assert chosen(job).kept == (1, 2, 3) and torch.equal(own_rows(job)[0], before[0])


def test_names_without_a_like_are_told(tmp_path, base_with):
    base_with(quiet=True)
    job = job_of(tmp_path, names=["gizmo", "gadget", "knob", "lever"])
    rows = chosen(job)
    assert rows.like == {} and rows.decision.why == "the base has no key points of like names"


def test_known_key_points_need_no_choice(base_with):
    base_with(quiet=True)
    from lvtune.api.job import prepare

    job = prepare(Recipe.from_dict({"base": "vitpose-tiny", "method": "lora", "device": "cpu"}))
    rows = chosen(job)
    assert rows.decision is None and rows.to_dict() is None


def test_the_run_says_and_writes_it(tmp_path, base_with):
    base_with(quiet=True)
    lines = []
    recipe = Recipe.from_dict({
        "base": "vitpose-tiny", "method": "lora", "device": "cpu", "data": own_data(tmp_path / "own", MOUSE, 175.0),
        "train": {"steps": 2, "batch_size": 4}, "out": str(tmp_path / "out"),
    })  # fmt: skip
    lvtune.adapt(recipe, say=lines.append)
    stored = json.loads((tmp_path / "out/report.json").read_text())
    assert [one["what"] for one in stored["decisions"]].count(WHAT) == 1
    assert sum(line.startswith(f"{WHAT}: snout as head_top") for line in lines) == 1
    assert stored["new_rows"][0]["keypoint"] == "snout" and stored["new_rows"][0]["loss_like"] > 0
    assert WHAT in (tmp_path / "out/report.html").read_text()
