"""With `keep`, the largest share of the change is taken that holds the source; the curve is in the report."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import lvtune
from lvtune.api.change_parts import late_names, on_the_way
from lvtune.api.job import prepare, training_data
from lvtune.api.keep_estimate import GAIN, GROWTH, LOSS, Moved
from lvtune.api.keep_first_run import part_of_minutes
from lvtune.api.keep_source import SHARES, SourceKeeper
from lvtune.api.keep_words import keep_tested
from lvtune.api.kept_scores import KeptScore
from lvtune.api.recipe import Recipe
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
        "keeping": {"keep_sure": 0.5, "replay_weight": 3.0},
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


def given_scores(monkeypatch, keeper, source, target, moved=lambda state: np.nan):
    """Scores that are functions of the adapter's tensors, of which all begin at 0 and are tuned to 1."""

    def score(split, category):
        state = keeper.job.adapter.state_dict()
        there = {name: float(value.flatten()[0]) * bool(attached(keeper.job.base)) for name, value in state.items()}
        found = (source if any(split is one.source for one in keeper._checked) else target)(there)
        # so many pictures that the score has no chance, and points that say how many moved
        return KeptScore(found, np.full(10, found), np.full((1, 1, 2), moved(there)))

    monkeypatch.setattr(keeper, "_score", score)
    monkeypatch.setattr(
        "lvtune.api.keep_source.moved_points", lambda split, kind, before, after: _moved(after[0, 0, 0])
    )
    fill(keeper, 0.0)
    keeper.begin()
    fill(keeper, 1.0)
    for number in range(len(keeper._checked)):
        keeper.note(number)


def _moved(share):
    return None if np.isnan(share) else Moved(share, 100_000)


def fill(keeper, value):
    with torch.no_grad():
        for one in keeper.job.adapter.parameters():
            one.fill_(value)


def scored(monkeypatch, keeper, source, target):
    """The same for functions of the share of the change, whose parts are all alike."""
    monkeypatch.setattr("lvtune.api.keep_source.late_names", lambda names: set())
    first = next(iter(snapshot(keeper.job.adapter)))
    given_scores(monkeypatch, keeper, lambda there: source(there[first]), lambda there: target(there[first]))
    return first


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(2, 0.5), (1.6, 0.55), (1.0, 0.7), (0.51, 0.95), (60, 0.05)],  # 99 % of 50 is 49.5; (0.5 / loss) ** 0.5
)
def test_the_largest_share_that_holds_is_taken(keeper, monkeypatch, loss, expected):
    first = scored(monkeypatch, keeper, lambda share: 50 - loss * share**2, lambda share: 30 + 5 * share)
    keeper.keep()
    assert keeper.share == pytest.approx(expected) and keeper.holds
    assert float(keeper.job.adapter.state_dict()[first].flatten()[0]) == pytest.approx(expected)
    found = keeper.to_dict()
    shares = [point["share"] for point in found["curve"]]
    assert set(shares) == {0.0, *SHARES, expected} and found["curve"][0]["kept"] == 1 and shares[0] == 0
    assert shares[1:] == sorted(shares[1:], reverse=True)
    assert f"{expected:.0%} of the change is kept" in keeper.decision.line()


def test_a_change_that_costs_nothing_stays_whole(keeper, monkeypatch):
    first = scored(monkeypatch, keeper, lambda share: 50 + share, lambda share: 30 + share)
    keeper.keep()
    assert keeper.share == 1 and float(keeper.job.adapter.state_dict()[first].flatten()[0]) == 1
    assert keeper.others == []


@pytest.mark.parametrize("most", [0.75, 0.8, 1.0])
def test_no_more_than_what_is_allowed_is_taken(keeper, monkeypatch, most):
    keeping = replace(keeper.job.recipe.keeping, keep_most=most)
    monkeypatch.setattr(keeper.job, "recipe", replace(keeper.job.recipe, keeping=keeping))
    first = scored(monkeypatch, keeper, lambda share: 50 + share, lambda share: 30 + share)
    keeper.keep()
    assert keeper.share == most and keeper.holds
    assert float(keeper.job.adapter.state_dict()[first].flatten()[0]) == pytest.approx(most)
    found = keeper.to_dict()
    assert found["most"] == most and 1.0 in {point["share"] for point in found["curve"]}
    assert (f"at most {most:.0%}" in keeper.decision.line()) is (most < 1)


def test_where_nothing_holds_the_best_trade_is_taken_and_said(keeper, monkeypatch):
    scored(monkeypatch, keeper, lambda share: 50 - 3 * (share > 0), lambda share: 30 + 4 * share - 3 * share**3)
    keeper.keep()
    assert not keeper.holds and keeper.share == 0.6  # of those that the curve has
    assert "NOT held" in keeper.decision.line()


@pytest.mark.parametrize("sure", [0.5, 0.9])
def test_points_that_moved_count_where_the_score_is_off_by_chance(keeper, monkeypatch, sure):
    """The score of few pictures says that all is well; the points that moved say that it is not."""
    keeping = replace(keeper.job.recipe.keeping, keep_sure=sure)
    monkeypatch.setattr(keeper.job, "recipe", replace(keeper.job.recipe, keeping=keeping))
    monkeypatch.setattr("lvtune.api.keep_source.late_names", lambda names: set())
    monkeypatch.setattr("lvtune.api.keep_source.deviation_of_ratio", lambda above, below: 10.0)
    first = next(iter(snapshot(keeper.job.adapter)))
    source, target = (lambda there: 51.0), (lambda there: 30 + there[first])
    given_scores(monkeypatch, keeper, source, target, moved=lambda there: 0.12 * there[first])
    keeper.keep()
    said = keeper.to_dict()
    here = next(point for point in said["curve"] if point["share"] == keeper.share)
    assert keeper.holds and keeper.share < 1 and here["moved"] == pytest.approx(0.12 * keeper.share, rel=1e-4)
    assert here["kept"] == pytest.approx(1.0) and said["curve"][1]["expected"] < 0.99 <= here["expected"]
    assert (here["expected"] - here["chance"] >= 0.99) == (sure == 0.9)
    assert "of the points moved" in keeper.decision.line()


@pytest.mark.parametrize(("weight", "growth"), [(0.0, GROWTH), (3.0, 1.0)])
def test_where_shorter_runs_decide_the_longer_one_is_expected_to_keep_less(weight, growth, monkeypatch):
    """Two first runs on half of the pictures each; with replay one, nearly as long as the last."""
    keeper = SourceKeeper(prepare(recipe(keeping={"replay_weight": weight})))
    assert len(keeper.job.kept_out.first_runs) == 1 + (weight == 0)
    monkeypatch.setattr("lvtune.api.keep_source.deviation_of_ratio", lambda above, below: 10.0)
    first = next(iter(snapshot(keeper.job.adapter)))
    given_scores(monkeypatch, keeper, lambda there: 50.0, lambda there: 30.0, moved=lambda there: 0.1 * there[first])
    assert keeper._point(0.0)["expected"] == pytest.approx(1 + GAIN, abs=1e-5)
    assert keeper._point(1.0)["expected"] == pytest.approx(1 + GAIN - LOSS * 0.1 * growth, abs=1e-5)


def test_late_parts_are_taken_back_where_that_is_better_for_the_target(keeper, monkeypatch):
    late = late_names(snapshot(keeper.job.adapter))
    one, other = min(late), min(set(snapshot(keeper.job.adapter)) - late)
    given_scores(monkeypatch, keeper, lambda there: 50 - 5 * there[one], lambda there: 30 + there[other] + there[one])
    keeper.keep()
    assert keeper.holds and keeper.share == 1 and keeper.taken["late"] == 0
    state = keeper.job.adapter.state_dict()
    assert {float(value.flatten()[0]) for name, value in state.items() if name in late} == {0.0}
    assert {float(value.flatten()[0]) for name, value in state.items() if name not in late} == {1.0}
    found = keeper.to_dict()
    assert found["late"] == 0 and {point["late"] for point in found["others"]} == {0.0, 0.5}
    assert "100% of the change is kept, nothing of it in the last third" in keeper.decision.line()


def test_all_parts_alike_are_taken_where_the_target_needs_the_late_ones(keeper, monkeypatch):
    late = min(late_names(snapshot(keeper.job.adapter)))
    given_scores(monkeypatch, keeper, lambda there: 50 - 0.6 * there[late], lambda there: 30 + 9 * there[late])
    keeper.keep()  # 50 - 0.6 · 0.8 holds
    assert keeper.holds and keeper.share == 0.8 and keeper.taken["late"] == 1 and keeper.others


@pytest.mark.parametrize(("gain", "late"), [(0.5, 0.5), (3.0, 1.0)])
def test_another_way_is_taken_only_where_it_is_better_by_more_than_chance(keeper, monkeypatch, gain, late):
    parts = late_names(snapshot(keeper.job.adapter))
    one = min(parts)
    given_scores(monkeypatch, keeper, lambda there: 50 - 0.6 * there[one], lambda there: 30 + gain * there[one])
    monkeypatch.setattr("lvtune.api.keep_source.chance_of_difference", lambda point, other: 0.7 * (point is not other))
    keeper.keep()  # 0.8 of all parts alike, or half of a whole change in the late parts
    assert keeper.holds and keeper.taken["late"] == late


@pytest.mark.parametrize(
    ("needed", "expected", "words"), [(0.5, 0.5, "(70% would hold, and is no better for the target)"), (0.65, 0.7, "")]
)
def test_still_less_is_taken_where_it_costs_the_target_nothing(keeper, monkeypatch, needed, expected, words):
    """70 % of the change would hold; the target gains from a part of it."""
    scored(monkeypatch, keeper, lambda share: 50 - share**2, lambda share: 30 + 5 * min(share, needed))
    keeper.keep()
    found = keeper.to_dict()
    assert keeper.holds and (keeper.share, found["largest"]) == pytest.approx((expected, 0.7))
    assert [point["share"] for point in found["others"]] == [0.5]  # 60 and 40 % are in the curve
    said = keeper.decision.line()
    assert f"{expected:.0%} of the change is kept" in said and words in said and ("would hold" in said) == bool(words)


def test_what_does_not_hold_is_not_taken_because_it_is_less(keeper, monkeypatch):
    """At 70 % it holds, at 40 % by chance it does not, and the target needs none of the change."""
    scored(monkeypatch, keeper, lambda share: 40 if round(share, 3) == 0.4 else 50 - share**2, lambda share: 30)
    keeper.keep()
    assert keeper.holds and keeper.share == pytest.approx(0.5)


@pytest.fixture
def two_shares(monkeypatch):
    """The curve with fewer points, which take less time."""
    monkeypatch.setattr("lvtune.api.keep_source.SHARES", (1.0, 0.5))


def test_the_base_stays_at_zero_share(keeper, two_shares):
    keeper.keep()
    zero = keeper.curve[0]
    fill(keeper, 0.0)  # bitfit: no change
    keeper.note()
    again = keeper._with_target(keeper._point(1.0))
    assert (again["source"], again["target"]) == (zero["source"], zero["target"])
    assert again["moved"] == zero["moved"] == 0 and again["kept"] == 1


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


KILLED = {
    "keeping": {}, "train": {"epochs": 2, "batch_size": 8, "checkpoint_every": 1}, "data": {"limit": 30, "shots": 30},
}  # fmt: skip
"""Of 30 pictures each first run has 15: two steps; the last run has six."""


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory):
    """The weights of the run that is killed in other tests."""
    folder = tmp_path_factory.mktemp("never-killed") / "whole"
    whole = recipe(out=str(folder), **KILLED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lvtune.api.keep_source.SHARES", (1.0, 0.5))
        lvtune.adapt(whole)
    return snapshot(lvtune.load_adapter(folder, prepare(whole).base))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("saves", "words"),
    [
        (1, "first run 1: resumed at step 1 of 2"),
        (3, "first run 2: resumed at step 1 of 2"),
        (5, "resumed at step 3 of 6"),
    ],
)
def test_a_run_that_is_killed_goes_on_to_the_same_weights(
    tmp_path, monkeypatch, two_shares, never_killed, saves, words
):
    class Killed(BaseException):
        pass

    real, left = checkpoint.save_checkpoint, [saves]

    def once(*args, **kwargs):
        real(*args, **kwargs)
        left[0] -= 1
        if not left[0]:
            raise Killed

    again = recipe(out=str(tmp_path / "again"), **KILLED)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("lvtune.training.loop.save_checkpoint", once)
        lvtune.adapt(again)
    values = lvtune.adapt(again).to_dict()
    assert any(note.startswith(words) for note in values["notes"])
    assert not list((tmp_path / "again").glob("checkpoint*"))
    assert same(snapshot(lvtune.load_adapter(tmp_path / "again", prepare(again).base)), never_killed)


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
    ("kept", "words"), [(0.9901, "99.0 % of the source score remain, target 34.6"), (0.9899, "LESS than asked")]
)
def test_what_remains_on_the_test_pictures_is_said(kept, words):
    found = {"test_kept": kept, "test_target": 34.6, "test_kept_whole": 0.965, "test_target_whole": 35.3}
    line = keep_tested(99, found).line()
    assert words in line and "(with the whole change: 96.5 %, 35.3)" in line
    alike = {**found, "test_kept_whole": kept, "test_target_whole": 34.6}
    assert words in keep_tested(99, alike).line() and "whole change" not in keep_tested(99, alike).line()
    assert keep_tested(99, {**found, "test_kept": None}) is None


def test_the_second_run_is_the_one_without_keep_and_as_much_is_taken_back(tmp_path, monkeypatch, two_shares):
    """Nothing of the first run may reach the second: order, random numbers, counters, statistics."""
    given = {"method": "full", "train": {"steps": 2, "batch_size": 4}, "data": {"limit": 24}}
    # full: BatchNorms have statistics
    plain = recipe(keep=None, keeping={}, out=str(tmp_path / "plain"), **given)
    whole = lvtune.adapt(plain).to_dict()
    monkeypatch.setattr(SourceKeeper, "_does_hold", lambda keeper, point: point["share"] < 1)
    values = lvtune.adapt(recipe(keeping={}, out=str(tmp_path / "kept"), **given)).to_dict()
    found, job = values["keep"], prepare(plain)
    assert found["runs"] == 3 and 0.5 <= found["share"] < 1 and values["few"]["pictures"] == 6 * 24
    assert found["source_pictures"] == 24, "each picture is left out of one of the first runs"
    start = snapshot(job.adapter)
    end, kept = (snapshot(lvtune.load_adapter(tmp_path / name, job.base)) for name in ("plain", "kept"))
    expected = on_the_way(start, end, found["share"], found["late"])
    assert all(torch.allclose(kept[name], expected[name], atol=1e-7) for name in kept)
    assert found["test_target_whole"] == whole["target"]["after_on"]["pck@0.2"]
    assert found["test_kept_whole"] == whole["retention"]["on"]
    assert found["test_target"] == values["target"]["after_on"]["pck@0.2"]


def test_pictures_kept_out_for_the_calibration_stay_out_of_one_run(tmp_path, two_shares):
    values = lvtune.adapt(recipe(keeping={}, calibrate="keep-out", out=str(tmp_path / "out"))).to_dict()
    assert values["keep"]["runs"] == 1 and values["few"]["pictures"] == 6 * 60
    assert not any("first run" in decision["why"] for decision in values["decisions"])


def test_a_time_budget_is_for_both_runs():
    job = prepare(recipe(train={"minutes": 4.0}))
    assert part_of_minutes(job, job.options).minutes == 2
    once = prepare(recipe(train={"minutes": 4.0}, calibrate="keep-out"))
    assert part_of_minutes(once, once.options).minutes == 4


def test_a_percentage_out_of_range_is_an_error(capsys):
    assert main(["adapt", "--keep", "120"]) == 2
    assert "keep" in capsys.readouterr().err
