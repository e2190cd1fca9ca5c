"""With `keep`, the largest share of the change is taken that holds the source; the curve is in the report."""

import json

import numpy as np
import pytest
import torch

import lvtune
from lvtune.api.job import prepare
from lvtune.api.keep_source import SHARES, SourceKeeper, _chance
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.core.snapshot import snapshot
from lvtune.patcher.attaching import attached


def recipe(**given):
    values = {
        "method": "bitfit", "start": "none", "device": "cpu", "keep": 99.0, "data": {"limit": 70},
        "evaluate": {"flip_test": False}, "train": {"steps": 1, "batch_size": 4},
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
        return (source if split is keeper.job.kept_out.source else target)(share)

    monkeypatch.setattr(keeper, "_score", score)
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


def test_where_nothing_holds_the_best_trade_is_taken_and_said(keeper, monkeypatch):
    scored(monkeypatch, keeper, lambda share: 50 - 3 * (share > 0), lambda share: 30 + 4 * share - 3 * share**3)
    keeper.keep()
    assert not keeper.holds and keeper.share == 0.7
    assert "NOT held" in keeper.decision.line()


def test_the_base_stays_at_zero_share(keeper):
    keeper.keep()
    zero = keeper.curve[0]
    with torch.no_grad():
        for value in keeper.job.adapter.parameters():
            value.zero_()  # bitfit: no change
    keeper.job.adapter.eval()
    again = keeper._point(1.0, keeper.job.kept_out.source, keeper.job.kept_out.target, snapshot(keeper.job.adapter))
    assert (again["source"], again["target"]) == (zero["source"], zero["target"])


def test_without_it_nothing_is_scored():
    job = prepare(recipe(keep=None))
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
    page = (out / "report.html").read_text()
    assert "What is kept of the source" in page and "(taken)" in page
    assert json.loads((out / "report.json").read_text())["keep"] == values["keep"]


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
