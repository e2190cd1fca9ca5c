"""Without a label of the target nothing is kept that is not shown to help."""

import json
from dataclasses import replace

import pytest
import torch
from tiny import tiny_base

import lvtune
from lvtune.api import unlabelled_guard
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.api.unlabelled_guard import Seen, UnlabelledGuard, is_better, moved_share, shortfalls
from lvtune.bases.base_registry import BASES
from lvtune.core.snapshot import snapshot
from lvtune.data.skeletons import LSP_14
from lvtune.training.agreement import Answers

BEFORE = Seen(disagreement=0.1, moved=0.0, peak=0.5, source=1.0, labelled=1.0, kept_out=1.0)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(
        BASES._entries, "vitpose-tiny-lsp", lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14)
    )


def recipe(**given):
    values = {"base": "vitpose-tiny-lsp", "domain": "demo-art", "unlabelled": "train", "method": "lora",
              "start": "none", "device": "cpu", "train": {"steps": 2, "batch_size": 4}} | given  # fmt: skip
    values["data"] = {"shots": 0, "limit": 8} | given.get("data", {})
    return Recipe.from_dict(values)


def stir(adapter, by=0.5):
    with torch.no_grad():
        for value in adapter.parameters():
            value.add_(by * torch.randn(value.shape, generator=torch.Generator().manual_seed(0)))


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("now", "better"),
    [({}, True), ({"disagreement": 0.099}, False), ({"moved": 0.2}, False), ({"source": 1.02}, False),
     ({"source": None}, True), ({"disagreement": 0.2}, False), ({"labelled": 1.05}, True), ({"labelled": 1.2}, False),
     ({"kept_out": 1.0}, True), ({"kept_out": 1.01}, False)],
)  # fmt: skip
def test_all_must_speak_for_it(now, better):
    values = {"disagreement": 0.05, "moved": 0.05, "peak": 0.6, "source": 1.0} | now
    assert is_better(BEFORE, Seen(**values)) == better


def test_what_speaks_against_it_is_said():
    assert shortfalls(BEFORE, replace(BEFORE, disagreement=0.05)) == []
    said = shortfalls(BEFORE, replace(BEFORE, disagreement=0.099, moved=0.5, source=2.0))
    assert [words.split(" ")[0] for words in said] == ["the", "more", "the"]
    assert "did not fall by 2%" in said[0] and "loss on the source is over 1.01 times" in said[2]


def test_pictures_in_which_nothing_was_sure_show_nothing():
    now = Seen(disagreement=0.05, moved=0.0, peak=0.6, source=None)
    assert is_better(BEFORE, now) and not is_better(replace(BEFORE, sure=0.01), now)


@pytest.mark.parametrize(
    ("sure", "known", "shows"),
    [(0.09, None, False), (0.11, None, True), (0.061, 0.416, False), (0.137, 0.416, True), (0.06, 0.1, True),
     (0.04, 0.1, False), (0.04, 0.0, False)],
)  # fmt: skip
def test_pictures_of_something_else_have_few_sure_points_beside_labelled_ones(sure, known, shows):
    now = Seen(disagreement=0.05, moved=0.0, peak=0.6, source=None)
    before = replace(BEFORE, sure=sure, known=known)
    assert is_better(before, now) == shows
    said = shortfalls(before, now)
    assert said == [] if shows else len(said) == 1 and "may not show what is to be found" in said[0]
    assert shows or ("pictures with labels" in said[0]) == (known is not None)


def test_only_points_that_were_sure_can_have_moved():
    points = torch.zeros(1, 4, 2)
    before = Answers(points, torch.tensor([[0.0, 0.0, 0.2, 0.0]]), torch.tensor([[0.9, 0.9, 0.9, 0.1]]), points[..., 0])
    now = Answers(points + torch.tensor([0.5, 0.0]), before.apart, before.peak, before.spread)
    assert moved_share(before, now) == 1.0 and moved_share(before, before) == 0.0
    one = points.clone()
    one[0, 1:, 0] = 0.5
    assert moved_share(before, Answers(one, before.apart, before.peak, before.spread)) == 0.5


def test_a_broken_adapter_is_taken_back_to_the_bit():
    job = prepare(recipe(train={"guard": 1}))
    guard, start = UnlabelledGuard(job), snapshot(job.adapter)
    guard.begin()
    with torch.no_grad():  # the head answers the same for every picture: its views agree, and nothing else is right
        for value in job.adapter.parameters():
            value.add_(3 * torch.randn(value.shape, generator=torch.Generator().manual_seed(0)))
    guard.keep()
    assert guard.share == 0 and same(start, job.adapter.state_dict())
    assert "nothing is kept: the result is what the tuning began with" in guard.decision.line()
    assert set(guard.to_dict()["seen"]) == {"0", "1", "0.75", "0.5", "0.25"}


def test_what_is_sure_is_compared_with_pictures_that_have_labels(monkeypatch):
    asked, real = [], unlabelled_guard.answers_of

    def counted(base, adapter, data, **more):
        asked.append(len(data))
        return real(base, adapter, data, **more)

    monkeypatch.setattr(unlabelled_guard, "answers_of", counted)
    guard = UnlabelledGuard(prepare(recipe(train={"guard": 1})))
    guard.begin()
    known = guard.seen["0"].known
    assert len(asked) == 2 and known is not None and guard.doubt is not None  # the pool, and the source
    monkeypatch.setattr(unlabelled_guard, "too_unsure", lambda before: None)
    assert guard.doubt is None
    guard.keep()
    assert all(seen.known is None for share, seen in guard.seen.items() if share != "0")


def test_the_largest_share_that_helps_is_kept(monkeypatch):
    job = prepare(recipe(train={"guard": 1}))
    guard, start = UnlabelledGuard(job), snapshot(job.adapter)
    guard.begin()
    stir(job.adapter)
    end = snapshot(job.adapter)
    monkeypatch.setattr(unlabelled_guard, "is_better", lambda before, now: len(guard.seen) == 4)  # 0, 1, 0.75, 0.5
    guard.keep()
    assert guard.share == 0.5 and "50% of the change" in guard.decision.line()
    for name, value in job.adapter.state_dict().items():
        assert torch.allclose(value, (start[name] + end[name]) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "active"),
    [({}, True), ({"train": {"steps": 2, "guard": 0}}, False), ({"text_only": True, "data": {"shots": "all"}}, True),
     ({"data": {"shots": 2}}, True), ({"data": {"shots": 2}, "train": {"steps": 2, "guard": 0}}, False),
     ({"data": {"shots": 2}, "objective_options": {"part": 0}}, False)],
)  # fmt: skip
def test_where_it_looks(given, active):
    guard = UnlabelledGuard(prepare(recipe(**given)))
    assert guard.is_active == active
    # where both kinds of pictures come from the first step on, the few-shot guard decides
    assert (guard.decision is None) == ("objective_options" in given)


def test_a_poisoned_pool_gives_back_what_it_began_with_and_the_report_says_so(tmp_path):
    said = []
    given = {"train": {"steps": 3, "batch_size": 4, "lr": 5.0}, "objective_options": {"confidence": 1e-3, "ramp": 0}}
    values = lvtune.adapt(recipe(out=str(tmp_path / "out"), **given), say=said.append).to_dict()
    assert values["unlabelled"]["share"] == 0 and values["target"]["after_on"] == values["target"]["before"]
    doubts = [i for i, line in enumerate(said) if "then nothing of the tuning with them is kept" in line]
    decided = [i for i, line in enumerate(said) if "guard without labels: nothing is kept" in line]
    assert len(doubts) == len(decided) == 1 and doubts < decided  # said before the tuning, and not only behind it
    assert "guard without labels" in {one["what"] for one in values["decisions"]}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["unlabelled"] == values["unlabelled"]
