"""``lvtune adapt``: file, options over it, method options, dry run, summary."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import lvtune
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main

_SIDE = {when: {"pck@0.2": 40.0, "pck@0.5": 70.0, "ap": None} for when in ("before", "after_off")}
REPORT = {
    "target": {**_SIDE, "after_on": {"pck@0.2": 46.25, "pck@0.5": 75.0, "ap": None}},
    "source": None,
    "gap_closed": 0.312,
    "adapter": {"parameters": 1234567, "bytes": 5_000_000, "share_of_base": 0.21},
    "base": {"name": "vitpose-ti", "fingerprint_before": "a", "fingerprint_after": "a"},
    "seconds": {"load": 1, "tune": 60, "evaluate": 9},
}


@pytest.fixture
def adapted(monkeypatch):
    """The recipes that ``lvtune.adapt`` was given."""
    seen: list[Recipe] = []

    def adapt(recipe, **kwargs):
        seen.append(recipe)
        print("a library that prints")
        return SimpleNamespace(to_dict=lambda: REPORT, folder=Path("out"))

    monkeypatch.setattr(lvtune, "adapt", adapt, raising=False)
    return seen


def test_no_options_are_the_default_recipe(adapted, capsys):
    assert main(["adapt"]) == 0
    assert adapted == [Recipe()]
    assert (adapted[0].base, adapted[0].domain, adapted[0].method) == ("vitpose-ti", "demo-art", "vlpose-light")
    out = capsys.readouterr().out
    assert "46.25" in out
    assert "gap closed: 31.2 %" in out
    assert "1,234,567 parameters, 21.0 % of the base" in out
    assert "unchanged, bit for bit" in out
    assert "a library that prints" not in out


def test_json_is_all_there_is_on_stdout(adapted, capsys):
    assert main(["adapt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == REPORT


def test_options_of_the_base(adapted, capsys):
    assert main(["adapt", "--base", "vitpose-b", "--base.input-size", "256x256", "--minutes", "5"]) == 0
    assert (adapted[0].base, adapted[0].base_options.input_size) == ("vitpose-b", "256x256")
    assert adapted[0].train.minutes == 5.0
    assert Recipe.from_dict(adapted[0].to_dict()) == adapted[0]
    capsys.readouterr()


def test_options_over_the_file(adapted, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("method: lora\nmethod_options: {r: 4, alpha: 8}\ntrain: {lr: 1e-3, epochs: 2}\nseed: 7\n")
    line = f"adapt --config {file} --lr 0.01 --method.r 2 --no-flip-test --train.augment.half_body=0.1"
    assert main(line.split()) == 0
    (recipe,) = adapted
    assert recipe.method_options == {"r": 2, "alpha": 8.0}
    assert (recipe.train.lr, recipe.train.epochs, recipe.seed) == (0.01, 2, 7)
    assert recipe.train.augment.half_body == 0.1
    assert recipe.evaluate.flip_test is False


def test_own_data(adapted):
    assert main(["adapt", "--data", "pictures", "--annotations", "mine.json", "--out", "there"]) == 0
    (recipe,) = adapted
    assert (recipe.domain, recipe.data.data, recipe.data.annotations) == ("custom", "pictures", "mine.json")
    assert str(recipe.folder) == "there"


def test_unknown_keys_of_a_file_are_bad_usage(tmp_path, capsys):
    file = tmp_path / "recipe.yaml"
    file.write_text("trian: {lr: 1}\n")
    assert main(["adapt", "--config", str(file)]) == 2
    assert "did you mean 'train'?" in capsys.readouterr().err


def test_help_shows_the_options_and_defaults_of_the_chosen_method(capsys):
    with pytest.raises(SystemExit) as done:
        main(["adapt", "--method", "lora", "--help"])
    assert done.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--method.r N Rank. (default: 8)" in text
    assert "Peak learning rate. (default: 0.002)" in text
    assert "--method.visual-prompts" not in text


def test_dry_run_prints_recipe_tree_and_memory_and_stops(adapted, monkeypatch, capsys):
    plan = {
        "recipe": {"base": "vitpose-ti", "train": {"lr": 5e-4}},
        "tree": [{"name": "prompts", "shape": [12, 50, 192], "parameters": 115200}],
        "trainable": 115200,
        "share_of_base": 0.02,
        "memory_mb": 1234.4,
        "targets": ["backbone.layer.0.mlp.fc1", "backbone.layer.11.mlp.fc1", "head.conv"],
        "decisions": [{"what": "input size", "value": "256x192", "why": "crops are small"}],
    }
    monkeypatch.setattr("lvtune.api.inspecting.dry_run", lambda recipe: plan)
    assert main(["adapt", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "base: vitpose-ti" in out
    assert "lr: 0.0005" in out
    assert re.search(r"prompts +12x50x192 +115,200 +1\n", out)
    assert "backbone.layer.*.mlp.fc1      2\n" in out and "head.conv                     1\n" in out
    assert "about 1234 MB" in out
    assert "chosen for you:\ninput size: 256x192 (crops are small)" in out
    assert adapted == []


def test_the_next_command_names_the_files_that_were_imported(tmp_path):
    from lvtune.cli.adapt import _next

    text = _next("out", {"base": {"name": "vitpose-ti"}}, ["my methods.py"])
    assert text.endswith("--adapter out --import 'my methods.py'")
    assert "--import" not in _next("out", {"base": {"name": "vitpose-ti"}})
