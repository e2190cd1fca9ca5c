"""With `keep`, the largest share of the change is taken that holds the source; the curve is in the report."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import lvtune
from lvtune.api.change_parts import parts_of
from lvtune.api.job import prepare, training_data
from lvtune.api.keep_source import MOST_TARGET, SHARES, SourceKeeper, _chance
from lvtune.api.keep_words import keep_tested
from lvtune.api.recipe import Recipe
from lvtune.api.replay_data import some_of
from lvtune.cli.main import main
from lvtune.core.snapshot import snapshot
from lvtune.domains import get_domain
from lvtune.patcher.attaching import attached
from lvtune.training import checkpoint
from lvtune.training.loop import tune
from lvtune.training.source_replay import SourceReplay


def recipe(**given):
    values = {
        "method": "bitfit", "start": "none", "device": "cpu", "keep": 99.0, "data": {"limit": 70},
        "evaluate": {"flip_test": False}, "train": {"steps": 1, "batch_size": 4},
        "keeping": {"keep_most": 1.0},
    }  # fmt: skip
    return Recipe.from_dict({**values, **given})


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def job():
    return prepare(recipe())


@pytest.fixture
def keeper(job):
    start = snapshot(job.adapter)
    keeper = SourceKeeper(job)
    keeper.begin()
    yield keeper
    job.adapter.load_state_dict(start)


def scored(monkeypatch, keeper, source, target):
    """Scores that are given functions of the share of a change whose whole is 1."""
    first = next(iter(snapshot(keeper.job.adapter)))

    def score(split, category):
        value = float(keeper.job.adapter.state_dict()[first].flatten()[0])
        share = value if attached(keeper.job.base) else 0.0
        return (source if split is keeper.job.kept_out.source.check else target)(share)

    monkeypatch.setattr(keeper, "_score", score)
    monkeypatch.setattr("lvtune.api.keep_source.parts_of", lambda names: {})
    with torch.no_grad():
        for value in keeper.job.adapter.parameters():
            value.zero_()
    keeper.begin()
    with torch.no_grad():
        for value in keeper.job.adapter.parameters():
            value.fill_(1.0)
    return first


def test_the_largest_share_that_holds_is_taken(keeper, monkeypatch):
    first = scored(monkeypatch, keeper, lambda share: 50 - 2 * share**2, lambda share: 30 + 5 * share)
    keeper.keep()
    assert keeper.share == 0.5 and keeper.holds  # 50 - 2 · 0.25 = 49.5, 99 %
    assert float(keeper.job.adapter.state_dict()[first].flatten()[0]) == pytest.approx(0.5)
    found = keeper.to_dict()
    assert [point["share"] for point in found["curve"]] == [0.0, *SHARES] and found["curve"][0]["kept"] == 1
    assert "50% of the change is kept" in keeper.decision.line()


def test_a_change_that_costs_nothing_stays_whole(keeper, monkeypatch):
    first = scored(monkeypatch, keeper, lambda share: 50 + share, lambda share: 30 + share)
    keeper.keep()
    assert keeper.share == 1 and float(keeper.job.adapter.state_dict()[first].flatten()[0]) == 1


@pytest.mark.parametrize(("most", "expected"), [(0.75, 0.75), (0.8, 0.8), (1.0, 1.0)])
def test_no_more_than_what_is_allowed_is_taken(keeper, monkeypatch, most, expected):
    keeping = replace(keeper.job.recipe.keeping, keep_most=most)
    monkeypatch.setattr(keeper.job, "recipe", replace(keeper.job.recipe, keeping=keeping))
    first = scored(monkeypatch, keeper, lambda share: 50 + share, lambda share: 30 + share)
    keeper.keep()
    assert keeper.share == expected and keeper.holds
    assert float(keeper.job.adapter.state_dict()[first].flatten()[0]) == pytest.approx(expected)
    found = keeper.to_dict()
    assert found["most"] == most and 1.0 in {point["share"] for point in found["curve"]}
    assert (f"at most {most:.0%}" in keeper.decision.line()) is (most < 1)


def test_with_replay_a_fifth_is_left_out_unless_it_is_said():
    assert SourceKeeper(prepare(recipe(keeping={}))).most == 0.8
    assert SourceKeeper(prepare(recipe(keeping={"replay_weight": 0.0}))).most == 1.0


def test_where_nothing_holds_the_best_trade_is_taken_and_said(keeper, monkeypatch):
    scored(monkeypatch, keeper, lambda share: 50 - 3 * (share > 0), lambda share: 30 + 4 * share - 3 * share**3)
    keeper.keep()
    assert not keeper.holds and keeper.share == 0.7
    assert "NOT held" in keeper.decision.line()


def by_parts(monkeypatch, keeper, source, target):
    """Scores that are functions of which parts of the change are there; all is 1."""
    parts = parts_of(snapshot(keeper.job.adapter))

    def score(split, category):
        state = keeper.job.adapter.state_dict()
        there = {name: float(state[names[0]].flatten()[0]) for name, names in parts.items()}
        there = there if attached(keeper.job.base) else dict.fromkeys(there, 0.0)
        return (source if split is keeper.job.kept_out.source.check else target)(there)

    scored(monkeypatch, keeper, lambda share: 0, lambda share: 0)
    monkeypatch.setattr(keeper, "_score", score)
    monkeypatch.setattr("lvtune.api.keep_source.parts_of", parts_of)


def test_the_part_that_intrudes_is_left_out_where_that_costs_the_target_less(keeper, monkeypatch):
    by_parts(monkeypatch, keeper, lambda p: 50 - 5 * p["early blocks"], lambda p: 30 + sum(p.values()))
    keeper.keep()
    assert keeper.holds and keeper.share == 1 and keeper.taken["left_out"] == "early blocks"
    for name, names in parts_of(snapshot(keeper.job.adapter)).items():
        left = {float(keeper.job.adapter.state_dict()[one].flatten()[0]) for one in names}
        assert left == {0.0 if name == "early blocks" else 1.0}
    found = keeper.to_dict()
    assert found["left_out"] == "early blocks" and {p["left_out"] for p in found["parts"]} > {"early blocks"}
    assert "the change is kept, without that of the early blocks" in keeper.decision.line()


def test_a_share_is_taken_where_leaving_a_part_out_costs_the_target_more(keeper, monkeypatch):
    by_parts(
        monkeypatch, keeper, lambda p: 50 - 0.6 * p["early blocks"], lambda p: 30 + 9 * p["early blocks"]
    )  # 50 - 0.6 · 0.8 holds
    keeper.keep()
    assert keeper.holds and keeper.share == 0.8 and keeper.parts and keeper.to_dict()["left_out"] is None


@pytest.fixture
def two_shares(monkeypatch):
    """The curve with fewer points, which take less time."""
    monkeypatch.setattr("lvtune.api.keep_source.SHARES", (1.0, 0.5))


def test_the_base_stays_at_zero_share(keeper, two_shares):
    keeper.keep()
    zero = keeper.curve[0]
    with torch.no_grad():
        for value in keeper.job.adapter.parameters():
            value.zero_()  # bitfit: no change
    keeper.job.adapter.eval()
    split = keeper.job.kept_out.source.check
    state = snapshot(keeper.job.adapter)
    again = keeper._point({"share": 1.0}, split, some_of(keeper.job.kept_out.target, 0, MOST_TARGET), state)
    assert (again["source"], again["target"]) == (zero["source"], zero["target"])


def test_without_it_nothing_is_scored():
    job = prepare(recipe(keep=None, keeping={}))
    keeper, before = SourceKeeper(job), snapshot(job.adapter)
    keeper.begin()
    keeper.keep()
    assert keeper.to_dict() is None and keeper.decision is None and same(before, job.adapter.state_dict())


def test_the_report_has_the_curve(tmp_path):
    said = []
    out = tmp_path / "out"
    values = lvtune.adapt(recipe(out=str(out)), say=said.append).to_dict()
    assert any(line.startswith("keep 99: ") for line in said)
    assert len(values["keep"]["curve"]) == 1 + len(SHARES) and values["keep"]["asked"] == 99
    assert any(line.startswith("replay: 60 pictures") for line in said) and values["keep"]["replay"]["pictures"] == 60
    assert any(decision["what"] == "replay" for decision in values["decisions"])
    assert values["keep"]["test_kept"] == values["retention"]["on"]
    assert any(line.startswith("keep 99, test pictures: ") for line in said)
    page = (out / "report.html").read_text()
    assert "What is kept of the source" in page and "(taken)" in page
    assert json.loads((out / "report.json").read_text())["keep"] == values["keep"]


def test_without_it_the_weights_are_those_of_the_plain_run(tmp_path):
    """Nothing of the replay, its random numbers or its counter, may reach a run without ``--keep``."""
    job = prepare(recipe(keep=None, keeping={}))
    assert type(job.objective).__name__ == "HeatmapObjective" and job.kept_out.source is None
    found = tune(job.base, job.adapter, training_data(job), job.objective, job.options, seed=0, device="cpu")
    lvtune.adapt(recipe(keep=None, keeping={}, out=str(tmp_path / "out")))
    loaded = lvtune.load_adapter(tmp_path / "out", job.base)
    assert same(snapshot(job.adapter), snapshot(loaded)) and len(found.loss) == 1


def test_weight_0_tunes_as_without_replay_on_the_same_pictures():
    found = []
    for weight in (0.0, 1.0):
        job = prepare(recipe(keeping={"replay_weight": weight}, train={"steps": 2, "batch_size": 4}))
        assert isinstance(job.objective, SourceReplay) == bool(weight)
        plain = job.objective if not weight else job.objective.inner
        if not weight:
            assert any(d.what == "replay" and d.value == "nothing" for d in job.decisions)
        tune(job.base, job.adapter, training_data(job), plain, job.options, seed=0, device="cpu")
        found.append(snapshot(job.adapter))
    assert same(*found)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_weights(tmp_path, monkeypatch, two_shares):
    given = {"train": {"epochs": 2, "batch_size": 20, "checkpoint_every": 1}, "data": {"limit": 70, "shots": 70}}
    whole = recipe(out=str(tmp_path / "whole"), **given)
    lvtune.adapt(whole)

    class Killed(BaseException):
        pass

    real = checkpoint.save_checkpoint

    def once(*args, **kwargs):
        real(*args, **kwargs)
        raise Killed

    again = recipe(out=str(tmp_path / "again"), **given)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("lvtune.training.loop.save_checkpoint", once)
        lvtune.adapt(again)
    values = lvtune.adapt(again).to_dict()
    assert any("resumed" in note for note in values["notes"])
    base = prepare(whole).base
    one, other = (snapshot(lvtune.load_adapter(tmp_path / name, base)) for name in ("whole", "again"))
    assert same(one, other)


def test_without_a_labelled_source_named_pictures_are_replayed_and_agreement_is_checked(tmp_path, two_shares):
    folder = tmp_path / "pictures"
    folder.mkdir()
    table = get_domain("demo-art").open("train").table
    for i in range(400, 424):
        shutil.copy(table.image_path(i), folder)
    said = []
    data = {"limit": 70, "source_data": "none"}
    made = recipe(data=data, keeping={"replay_pictures": str(folder)}, out=str(tmp_path / "out"))
    values = lvtune.adapt(made, say=said.append).to_dict()
    found = values["keep"]
    assert found["labels"] is False and found["replay"]["answers"] == "base" and found["source_pictures"] == 12
    assert found["replay"]["pictures"] == 12 and found["curve"][0]["source"] == 100
    assert any("agreement with the base's own answers" in line for line in said)
    assert "own answers on the named pictures" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("kept", "words"), [(0.9901, "99.0 % of the source score remain ("), (0.9899, "LESS than asked")]
)
def test_what_remains_on_the_test_pictures_is_said(kept, words):
    assert words in keep_tested(99, kept).line()
    assert keep_tested(99, None) is None


def test_a_percentage_out_of_range_is_an_error(capsys):
    assert main(["adapt", "--keep", "120"]) == 2
    assert "keep" in capsys.readouterr().err


def test_a_score_that_chance_may_flatter_is_taken_for_less():
    base = np.array([10.0, 8.0, 12.0, 9.0])
    assert _chance(base, base) == 0
    wobbling = base + np.array([2.0, -2.0, 1.0, -1.0])
    assert _chance(wobbling, base) == pytest.approx(1.2816 * (10 * 4 / 3) ** 0.5 / 39, rel=0.05)
    assert _chance(np.tile(wobbling, 25), np.tile(base, 25)) < _chance(wobbling, base) / 4
    assert _chance(np.zeros(0), np.zeros(0)) == 0
