"""Starts through the whole job: one that is made, one that is given, one that ships and is checked first."""

import json

import pytest
import torch
from tiny import make_adapter, tiny_base

import lvtune
from lvtune.api import start_choice as starting
from lvtune.api.inspecting import dry_run
from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import BASES
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.hub import starts
from lvtune.storage.store import save_adapter

BASE = "vitpose-tiny"


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(BASES._entries, BASE, lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14))
    monkeypatch.setattr(starts, "FOLDER", tmp_path / "starts")


def recipe(tmp_path, **values):
    values = {"base": BASE, "method": "lora", "out": str(tmp_path / "out"), "device": "cpu", **values}
    values |= {"evaluate": {"flip_test": False}, "data": {"limit": 12}}
    return Recipe.from_dict(values)


def run(tmp_path, **values):
    said = []
    report = lvtune.adapt(recipe(tmp_path, **values), say=said.append)
    assert json.loads((report.folder / "report.json").read_text())["start"] == report.to_dict()["start"]
    return report.to_dict(), said


@pytest.fixture
def shipped(tmp_path):
    """A start for lora that changes the tiny base's answers."""
    base = tiny_base(skeleton=LSP_14)
    adapter = make_adapter("lora", base, stirred=0.05, skeleton=LSP_14)
    save_adapter(adapter, tmp_path / "starts" / f"{BASE}-lora", base)
    return adapter


@pytest.mark.parametrize(("base_loss", "start_loss", "kept"), [(2.0, 1.0, True), (1.0, 2.0, False), (1.0, 1.0, False)])
def test_what_ships_is_begun_at_where_it_helps(request, tmp_path, base_loss, start_loss, kept):
    monkeypatch, shipped = (request.getfixturevalue(name) for name in ("monkeypatch", "shipped"))
    losses, seen = iter((base_loss, start_loss)), []

    def losses_of(base, adapter, data, judge, label):
        seen.append((len(data), {name: value.clone() for name, value in adapter.state_dict().items()}))
        return torch.tensor([next(losses)])

    monkeypatch.setattr(starting, "losses_of", losses_of)
    report, said = run(tmp_path, train={"steps": 0})
    assert report["start"]["kept"] == kept and report["start"]["name"] == f"the start that ships with {BASE}"
    assert report["recipe"]["start"] == "auto"
    assert report["start"]["compared"] == {"base": base_loss, "start": start_loss, "pictures": seen[0][0]}
    note = next(text for text in said if "begins at" in text)
    assert ("does not help here" in note) != kept and note in report["notes"]
    # first as created, then as it ships
    theirs = shipped.state_dict()
    assert not all(torch.equal(value, theirs[name]) for name, value in seen[0][1].items())
    assert all(torch.equal(value, theirs[name]) for name, value in seen[1][1].items())
    told = "tuning began at the start that ships" in (tmp_path / "out/README.md").read_text()
    assert told == kept
    saved = lvtune.load_adapter(tmp_path / "out", tiny_base(skeleton=LSP_14)).state_dict()
    assert all(torch.equal(value, seen[1 if kept else 0][1][name]) for name, value in saved.items())
    assert (report["target"]["after_on"] == report["target"]["before"]) == (not kept)


def test_the_start_alone_is_scored(tmp_path, monkeypatch, shipped):
    report, said = run(tmp_path, start="shipped", train={"steps": 0})
    # nothing was tuned: the start alone is what there is in the end
    assert "scoring the start alone" in said
    assert report["start"]["target"] == report["target"]["after_on"] != report["target"]["before"]
    report, said = run(tmp_path, start="shipped", train={"steps": 3, "batch_size": 4, "lr": 0.05})
    assert report["start"]["target"] != report["target"]["after_on"]
    losses = iter((1.0, 2.0))
    monkeypatch.setattr(starting, "losses_of", lambda *given: torch.tensor([next(losses)]))
    report, said = run(tmp_path, train={"steps": 0})
    assert not report["start"]["kept"] and "target" not in report["start"] and "scoring the start alone" not in said


def test_runs_that_share_their_scores_score_a_start_once(tmp_path, monkeypatch, shipped):
    from lvtune.api import scoring
    from lvtune.api.score_cache import ScoreCache
    from lvtune.patcher.attaching import attached

    found, own = [], scoring.score_split
    monkeypatch.setattr(
        scoring, "score_split",
        lambda base, split, **more: found.append(list(attached(base))) or own(base, split, **more),
    )  # fmt: skip
    cache = ScoreCache()
    reports = [
        lvtune.adapt(recipe(tmp_path, start="shipped", train={"steps": 0}), known=cache).to_dict() for _ in range(2)
    ]
    assert reports[0]["start"] == reports[1]["start"] and sum("start" in names for names in found) == 1


def test_the_check_is_a_real_one(tmp_path, shipped):
    report, _ = run(tmp_path, train={"steps": 0})
    found = report["start"]["compared"]
    assert found["base"] != found["start"] and found["pictures"] == 72  # 12 photographs under six filters
    assert report["start"]["kept"] == (found["start"] < found["base"])


@pytest.mark.parametrize("start", ["none", "shipped"])
def test_what_is_asked_for_is_not_checked(tmp_path, monkeypatch, shipped, start):
    monkeypatch.setattr(starting, "losses_of", None)
    report, said = run(tmp_path, train={"steps": 0}, start=start)
    assert (report["start"] is None) == (start == "none") and report["recipe"]["start"] == start
    assert f"start: {start}" in (tmp_path / "out/README.md").read_text()  # whoever runs the card's recipe begins there
    assert any("begins at" in text for text in said) == (start == "shipped")
    assert (report["target"]["after_on"] == report["target"]["before"]) == (start == "none")


def test_with_words_alone_the_sources_pictures_do_not_decide(tmp_path, monkeypatch, shipped):
    monkeypatch.setattr(starting, "losses_of", None)
    report, _ = run(tmp_path, train={"steps": 0}, text_only=True, objective="heatmap")
    assert report["start"].pop("target")
    assert report["start"] == {"name": f"the start that ships with {BASE}", "kept": True, "compared": None}


def test_what_ships_for_other_options_is_left_alone_and_that_is_told(tmp_path, shipped):
    report, said = run(tmp_path, train={"steps": 0}, method_options={"r": 2})
    assert report["start"]["kept"] is False and report["target"]["after_on"] == report["target"]["before"]
    assert any("does not fit (a start whose" in text for text in said)


def test_from_a_start_the_rate_is_lower_unless_one_says_it(tmp_path, shipped):
    rate = {"steps": 1, "warmup": 0.0}
    assert run(tmp_path / "a", start="shipped", train=rate)[0]["peak_lr"] == pytest.approx(0.4 * 2e-3)
    assert run(tmp_path / "b", start="none", train=rate)[0]["peak_lr"] == 2e-3
    assert run(tmp_path / "c", start="shipped", train=rate | {"lr": 1e-3})[0]["peak_lr"] == 1e-3
    assert run(tmp_path / "d", train=rate, method_options={"r": 2})[0]["peak_lr"] == 2e-3


def test_a_start_is_made_and_begun_at(tmp_path):
    made, _ = run(tmp_path / "one", method="vlpose-light", method_options={"language": 0}, start="none",
                  objective="random-styles", train={"steps": 2, "lr": 1e-2})  # fmt: skip
    assert made["start"] is None
    report, said = run(tmp_path / "two", method="vlpose-light", start=str(tmp_path / "one/out"), train={"steps": 1})
    assert report["start"].pop("target")
    assert report["start"] == {"name": str(tmp_path / "one/out"), "kept": True, "compared": None}
    assert any(text == f"begins at {tmp_path / 'one/out'}" for text in said)
    assert report["base"]["fingerprint_before"] == report["base"]["fingerprint_after"]


def test_a_start_that_is_not_there_is_told_before_anything_is_done(tmp_path):
    with pytest.raises(LvtuneError, match="nowhere"):
        run(tmp_path, start="nowhere")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_tells_where_it_would_begin(tmp_path, shipped):
    assert dry_run(recipe(tmp_path))["start"] == f"the start that ships with {BASE}"
    assert dry_run(recipe(tmp_path, start="none"))["start"] is None
