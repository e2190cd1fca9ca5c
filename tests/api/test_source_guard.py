"""With text-only, what is tuned is checked on source pictures that were kept out."""

import json

import pytest
import torch

from lvtune.api.adapting import adapt
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.api.source_guard import KEPT_OUT, SourceGuard
from lvtune.core.snapshot import snapshot
from lvtune.domains.few_pictures import pictures_of_samples

COUNT = 24


def recipe(**given):
    train = {"steps": 2, "batch_size": 4, "guard": 1} | given.pop("train", {})
    values = {"domain": "demo-art", "text_only": True, "objective": "heatmap", "data": {"limit": COUNT},
              "train": train, "device": "cpu", "method": "lora"} | given  # fmt: skip
    return Recipe.from_dict(values)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_pictures_are_kept_out_and_the_others_keep_their_numbers():
    guard = SourceGuard(prepare(recipe(weights="random")))
    guard.begin()
    data = guard.data()
    numbers = [data[i]["index"] for i in range(len(data))]
    kept_out = set(range(COUNT)) - set(numbers)
    assert len(kept_out) == round(KEPT_OUT * COUNT) and len(set(numbers)) == len(numbers)
    names = pictures_of_samples(guard.job.train)
    assert not {names[i] for i in kept_out} & {names[i] for i in numbers}


def test_a_change_that_harms_the_source_is_taken_back():
    guard = SourceGuard(prepare(recipe()))
    guard.begin()
    start = snapshot(guard.job.adapter)
    with torch.no_grad():
        for parameter in guard.job.adapter.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    guard.keep()
    assert guard.share == 0 and same(start, guard.job.adapter.state_dict())
    assert guard.losses["1"] > guard.losses["base"] == guard.losses["0"]
    assert "nothing is kept" in guard.decision.line()


def test_a_change_that_does_no_harm_stays():
    guard = SourceGuard(prepare(recipe()))
    guard.begin()
    guard.keep()  # nothing was tuned: no picture is worse
    assert guard.share == 1 and "100% of the change" in guard.decision.line()
    assert guard.to_dict() == {"share": 1.0, "losses": guard.losses, "kept_out": round(KEPT_OUT * COUNT)}


@pytest.mark.parametrize(
    "given",
    [{"train": {"guard": 0}}, {"text_only": False}, {"data": {"limit": 8}}],
)
def test_where_it_does_nothing(given):
    guard = SourceGuard(prepare(recipe(weights="random", **given)))
    before = snapshot(guard.job.adapter)
    guard.begin()
    assert len(guard.data()) == len(guard.job.train.table) * len(guard.job.train.views or " ")
    guard.keep()
    assert guard.share is None and guard.to_dict() is None and same(before, guard.job.adapter.state_dict())
    assert (guard.decision is None) == (not guard.job.recipe.text_only)
    assert guard.decision is None or "no check" in guard.decision.value


def test_the_report_says_so(tmp_path):
    said = []
    values = adapt(recipe(out=str(tmp_path / "out"), weights="random"), say=said.append).values
    assert values["source_guard"]["kept_out"] == round(KEPT_OUT * COUNT)
    assert any(line.startswith("source guard: ") for line in said)
    assert "source guard" in {one["what"] for one in values["decisions"]}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["source_guard"] == values["source_guard"]
