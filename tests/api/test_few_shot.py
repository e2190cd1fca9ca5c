"""Few pictures through the whole job: what is told, what is kept; and what runs on one base share."""

import json

import numpy as np
import pytest
import torch
from tiny import tiny_base

import lvtune
from lvtune.api import few_shot as few_module
from lvtune.api import scoring as scoring_module
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.api.score_cache import ScoreCache
from lvtune.api.scoring import Scoring
from lvtune.bases.base_registry import BASES
from lvtune.bases.fingerprint import fingerprint
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.training.guard import GuardResult

LOSSES = {0.0: 2.0, 0.25: 2.0, 0.5: 2.0, 0.75: 2.0, 1.0: 2.0}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(
        BASES._entries, "vitpose-tiny-lsp", lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14)
    )


def recipe(tmp_path, **values):
    values = {"base": "vitpose-tiny-lsp", "method": "bitfit", "out": str(tmp_path / "out"), "device": "cpu", **values}
    values["evaluate"] = {"flip_test": False, **values.get("evaluate", {})}
    values["data"] = {"limit": 12, **values.get("data", {})}
    return Recipe.from_dict(values)


def run(tmp_path, **values):
    said = []
    report = lvtune.adapt(recipe(tmp_path, **values), say=said.append)
    assert json.loads((report.folder / "report.json").read_text()) == json.loads(json.dumps(report.to_dict()))
    return report.to_dict(), said


def test_a_tiny_set_warns_and_is_tuned_on_as_long_as_suits_it(tmp_path):
    report, said = run(tmp_path, data={"shots": 8}, train={"max_epochs": 3, "lr": 1e-3})
    warning = "only 8 annotated pictures to tune on: another random choice of pictures may score quite differently"
    assert f"note: {warning}" in said and warning in report["notes"]
    assert report["shots"] == 8 and report["few"]["pictures"] == 8
    # eight pictures are one batch: default epochs of bitfit (10) stay, though 200 steps would be the least
    assert len(report["curves"]["steps"]) == 10 and report["recipe"]["train"]["min_steps"] == 200
    assert report["few"]["guard"]["share"] in (0.0, 0.25, 0.5, 0.75, 1.0)
    assert report["seconds_per_step"] > 0
    assert warning in (tmp_path / "out/report.html").read_text()


def test_where_tuning_does_not_help_the_base_itself_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(few_module, "choose_share", lambda *args, **options: GuardResult(0.0, LOSSES, 0.1))
    report, _ = run(tmp_path, data={"shots": 6}, train={"max_epochs": 2})
    assert report["target"]["after_on"] == report["target"]["before"]
    assert report["source"]["after_on"] == report["source"]["before"]
    assert any("nothing of it is kept" in note for note in report["notes"])
    base = tiny_base(skeleton=LSP_14)
    adapter = lvtune.load_adapter(tmp_path / "out", base)
    pixels = np.random.default_rng(0).standard_normal((2, 3, 64, 48), dtype=np.float32)
    with torch.no_grad():
        bare = base(torch.from_numpy(pixels))
        with lvtune.attach(base, adapter):
            assert torch.equal(base(torch.from_numpy(pixels)), bare)


@pytest.mark.parametrize(("own", "measure"), [(True, "mean error in % of the crop"), (False, "loss")])
def test_new_key_points_are_judged_by_their_error(tmp_path, monkeypatch, own, measure):
    """The loss of heatmaps cannot compare a run that weighs places near a key point with the start of a predictor."""
    asked = {}

    def choose(*args, **options):
        asked.update(options)
        return GuardResult(1.0, LOSSES, 0.1, options["measure"])

    monkeypatch.setattr(few_module, "choose_share", choose)
    if own:
        monkeypatch.setattr("lvtune.api.job.Job.new_keypoints", property(lambda job: 3))
    _, said = run(tmp_path, data={"shots": 6}, train={"max_epochs": 1})
    assert (asked["judge"] is few_module.point_error) == own and asked["beyond_chance"] is not own
    assert any(f"({measure} on pictures kept out: 2 before, 2 at best)" in text for text in said)


@pytest.mark.parametrize("train", [{"steps": 2}, {"epochs": 1}, {"guard": 0, "max_epochs": 1}])
def test_who_says_how_long_is_not_checked(tmp_path, train):
    report, said = run(tmp_path, data={"shots": 5}, train=train)
    assert report["few"] == {"pictures": 5, "guard": None}
    assert any("only 5 annotated pictures" in text for text in said)


def test_many_pictures_are_not_told(tmp_path):
    report, said = run(tmp_path, data={"limit": 20}, train={"steps": 1})  # 20 photographs under six filters
    assert report["few"] == {"pictures": 120, "guard": None} and not any("annotated pictures to" in s for s in said)


def test_more_shots_than_there_are_is_told(tmp_path):
    with pytest.raises(LvtuneError, match="at most 72"):
        run(tmp_path, data={"shots": 73})


def test_further_domains_are_scored_before_and_with_the_adapter_on(tmp_path):
    report, _ = run(
        tmp_path, domain="demo-art/sketch", train={"steps": 3, "lr": 0.1}, evaluate={"also": ["demo-art/cartoon"]}
    )
    (also,) = report["also"].values()
    assert also["name"] == "LSPET photographs under filters (demo-art/cartoon)"
    assert also["before"] != report["target"]["before"] and also["after_on"] != also["before"]


def test_runs_on_one_base_score_it_once(tmp_path, monkeypatch):
    asked = []
    real = scoring_module.score_split

    def score_split(base, split, **options):
        asked.append((split.name, len(split.table)))
        return real(base, split, **options)

    monkeypatch.setattr(scoring_module, "score_split", score_split)
    monkeypatch.setattr(scoring_module, "CHECKED", 4)
    alone = lvtune.adapt(recipe(tmp_path, train={"steps": 1})).to_dict()
    assert [count for _, count in asked] == [12] * 6 and alone["source_off_checked"] is None
    asked.clear()
    known = ScoreCache()
    first = lvtune.adapt(recipe(tmp_path, train={"steps": 1}), known=known).to_dict()
    assert [count for _, count in asked] == [12, 12, 12, 12, 4, 4]
    asked.clear()
    second = lvtune.adapt(recipe(tmp_path, train={"steps": 1}), known=known).to_dict()
    assert [count for _, count in asked] == [12, 12, 4, 4]
    for report in (first, second):
        assert report["target"] == alone["target"] and report["source"] == alone["source"]
        assert report["source_off_checked"] == 4 and report["source_off_identical"] is True


def test_a_base_that_was_changed_is_scored_anew(tmp_path):
    job = prepare(recipe(tmp_path))
    mark = fingerprint(job.base)
    scoring = Scoring(job, mark, ScoreCache())
    scoring.before()
    with torch.no_grad():
        job.base.predictor.weight.mul_(-1)
    scoring.off(fingerprint(job.base))
    assert scoring.is_identical is False and scoring.off_checked is None
    assert scoring.source.after_off.values["pck@0.5"] != scoring.source.before.values["pck@0.5"]
