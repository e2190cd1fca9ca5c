"""Adapting with the source's pictures and the target's sentences, from a recipe to an adapter folder."""

import json

import joints
import pytest

from lvtune.api.adapting import adapt
from lvtune.api.job import prepare, training_data
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.language import encoders
from lvtune.language.sentences import PHOTO, sentences_of


def recipe(**given):
    values = {"domain": "demo-art", "weights": "random", "data": {"limit": 6}, "text_only": True,
              "objective_options": {"encoder": "toy"}, "device": "cpu"}  # fmt: skip
    return Recipe.from_dict(values | given)


def test_the_source_is_tuned_on_and_the_target_is_tested_on():
    job = prepare(recipe(method="lora"))
    assert job.recipe.objective == "text-contrast"
    assert job.train.name == "the same LSPET photographs, unfiltered" and job.train.render is None
    assert "filters" in job.test.name
    setting = job.objective.context
    assert setting.text_only and dict(setting.sentences) == sentences_of("demo-art")
    # where nothing says what the source looks like it is a photograph
    assert setting.source_sentences == () and len(job.objective.sentences) == 6
    expected = joints.ToyJoint().encode_text([PHOTO])[0]
    assert job.objective.sentences.source.tolist() == expected.tolist()
    assert len(training_data(job)) == 6 == len(setting.plain())


def test_without_it_the_target_is_tuned_on():
    job = prepare(recipe(text_only=False, objective="text-contrast", method="lora"))
    assert "filters" in job.train.name and not job.objective.context.text_only


def test_on_rendered_hands_the_target_is_what_is_not_trained_on():
    job = prepare(recipe(domain="hand-figures", base="hand3d-vit", method="lora"))
    setting = job.objective.context
    assert setting.source_sentences == ("a computer rendering of a hand before a green screen",)
    assert "green_screen" not in setting.sentences and "wild" in setting.sentences
    assert len(job.objective.sentences) == 3920


def test_a_category_from_its_sentence_alone():
    job = prepare(recipe(domain="demo-art/sketch"))
    assert job.adapter.bank.categories == ("sketch",) and len(job.objective.sentences) == 1
    assert job.objective.sentences.categories([0]) == ["sketch"]


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(LvtuneError, match="same key points"):
        prepare(recipe(domain="hand-figures", base="hand3d-vit", data={"limit": 4, "source_data": str(tmp_path),
                       "source_domain": "demo-art"}))  # fmt: skip


def test_the_command(tmp_path, capsys):
    out = tmp_path / "out"
    argv = ["adapt", "--text-only", "--weights", "random", "--method", "lora", "--data.limit", "4", "--steps", "2",
            "--train.batch-size", "2", "--objective.encoder", "toy", "--objective.form", "paper", "--out", str(out),
            "--device", "cpu", "--json"]  # fmt: skip
    assert main(argv) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["recipe"]["text_only"] and values["recipe"]["objective"] == "text-contrast"
    assert any("no lower bound" in note for note in values["notes"])
    assert values["base"]["fingerprint_before"] == values["base"]["fingerprint_after"]
    config = json.loads((out / "lvtune_config.json").read_text())
    assert config["training"]["recipe"]["objective_options"] == {"encoder": "toy", "form": "paper"}


def test_with_nothing_else_said_it_needs_no_network_and_no_text_encoder(tmp_path, capsys, monkeypatch):
    def missing(name, source=None):
        raise LvtuneError(f"text encoder '{name}'", "none: all sentences ship", "a fault")

    monkeypatch.setattr(encoders, "load_text_encoder", missing)
    out = tmp_path / "out"
    argv = ["adapt", "--text-only", "--data.limit", "6", "--steps", "2", "--train.batch-size", "3", "--out", str(out),
            "--device", "cpu"]  # fmt: skip
    assert main(argv) == 0
    printed = capsys.readouterr()
    values = json.loads((out / "report.json").read_text())
    chosen = {one["what"]: one for one in values["decisions"]}["joint encoder of pictures and sentences"]
    assert chosen["value"] == "small" and "ships" in chosen["why"]
    assert "joint encoder of pictures and sentences: small" in printed.err
    assert values["source"]["before"] and values["target"]["after_on"]
    # the contrast: logged for each step, summed up, printed and drawn
    shares = values["curves"]["active_negatives"]
    assert len(shares) == 2 and values["active_negatives"]["mean"] == pytest.approx(sum(shares) / 2, abs=1e-4)
    assert "active negatives of the contrast" in printed.out and "of the negatives active" in printed.err
    page = (out / "report.html").read_text()
    assert "Active negatives" in page and "The contrast moved" in page


def test_without_a_contrast_nothing_is_said_of_negatives(tmp_path):
    values = adapt(
        recipe(objective="heatmap", objective_options={}, train={"steps": 1}, out=str(tmp_path / "out"))
    ).values
    assert values["active_negatives"] is None and values["curves"]["active_negatives"] == []
    assert "negatives" not in (tmp_path / "out" / "report.html").read_text()
