"""Options that were renamed are taken under their old names too, with a note that says the new one."""

from __future__ import annotations

import json

import pytest
from tiny import make_adapter, tiny_bank, tiny_base

import lvtune
from lvtune.api.recipe import Recipe
from lvtune.cli import adapt, export, predict
from lvtune.cli.main import main
from lvtune.cli.parser import nested
from lvtune.experiments.cells import variants_of
from lvtune.storage import adapter_file

NOTE = "note: option --prompt is now --category\n"


def recipe(*argv):
    return adapt.recipe_of(adapt.parser(argv, "").parse(argv))


@pytest.mark.parametrize(
    ("argv", "category", "notes"),
    [
        (["--prompt", "sketch"], "sketch", 1),
        (["--prompt=a", "--prompt", "b"], "b", 2),
        (["--prompt", "old", "--category", "new"], "new", 1),
        (["--category", "new", "--prompt", "old"], "new", 1),
        (["--category", "new"], "new", 0),
    ],
)
def test_the_old_name_on_the_command_line(argv, category, notes, capsys):
    assert recipe(*argv).evaluate.category == category
    assert capsys.readouterr().err == notes * NOTE


def test_the_old_name_with_its_path(capsys):
    assert recipe("--evaluate.prompt", "sketch").evaluate.category == "sketch"
    assert "note: option --evaluate.prompt is now" in capsys.readouterr().err


@pytest.mark.parametrize("command", [predict, export])
def test_the_old_name_of_other_commands(command, capsys):
    argv = ["picture.jpg"] * (command is predict) + ["--prompt", "sketch"]
    args = command.parser(argv, "").parse(argv)
    cls = predict.PredictCommand if command is predict else export.ExportCommand
    assert nested(args, cls) == {"category": "sketch"}
    assert capsys.readouterr().err == NOTE


def test_the_old_name_in_a_file_and_over_a_file(tmp_path, caplog):
    file = tmp_path / "recipe.yaml"
    file.write_text("evaluate: {prompt: old}\n")
    assert Recipe.from_yaml(file).evaluate.category == "old"
    assert caplog.messages == ["note: option 'evaluate.prompt' is now 'evaluate.category'"]
    assert recipe("--config", str(file), "--category", "new").evaluate.category == "new"
    file.write_text("evaluate: {category: new, prompt: old}\n")
    assert Recipe.from_yaml(file).evaluate.category == "new"
    assert recipe("--config", str(file), "--prompt", "typed").evaluate.category == "typed"


@pytest.mark.parametrize(
    ("argv", "visual_prompts"),
    [
        (["--method.prompts", "7"], 7),
        (["--method.prompts", "7", "--method.visual-prompts", "3"], 3),
        (["--method.visual-prompts", "3", "--method.prompts", "7"], 3),
    ],
)
def test_the_old_names_of_method_options(argv, visual_prompts, capsys):
    assert recipe("--method", "vpt", *argv).method_options == {"visual_prompts": visual_prompts}
    assert "note: option --method.prompts is now --method.visual-prompts" in capsys.readouterr().err


def test_the_old_names_of_method_options_in_a_recipe_and_a_comparison(caplog):
    options = {"prompts": 7, "prompt_dropout": 0.25}
    made = Recipe.from_dict({"method": "vlpose", "method_options": options})
    assert made.method_options == {"visual_prompts": 7, "sentence_dropout": 0.25}
    (variant,) = variants_of("vpt:prompts=7")
    assert Recipe.from_dict(variant.changes).method_options == {"visual_prompts": 7}
    assert "note: option 'method.prompts' is now 'method.visual_prompts'" in caplog.messages


def test_the_old_name_is_not_in_the_help_and_not_suggested(capsys):
    with pytest.raises(SystemExit):
        main(["adapt", "--method", "vpt", "--help"])
    out = capsys.readouterr().out
    assert "--method.visual-prompts" in out and "--method.prompts" not in out and "--prompt " not in out
    assert main(["adapt", "--promt", "x"]) == 2
    assert "did you mean '--prompt'" not in capsys.readouterr().err


def test_adapter_files_with_old_names_load(tmp_path, monkeypatch):
    base = tiny_base(layers=1)
    adapter = make_adapter("vlpose", base, bank=tiny_bank(), visual_prompts=2, sentence_dropout=0.25, stirred=0.1)
    folder = lvtune.save_adapter(adapter, tmp_path / "adapter", base)
    tensors, config = adapter_file.read(folder)
    names = {
        "visual_prompts": "prompts",
        "sentence_dropout": "prompt_dropout",
        "visual_prompt_lr_scale": "prompt_lr_scale",
    }
    old = {names.get(name, name): value for name, value in config["method_config"].items()}
    assert set(names.values()) <= set(old) and not set(names) & set(old)
    adapter_file.save(tensors, {**config, "method_config": old}, tmp_path / "old")
    assert json.loads((tmp_path / "old" / "lvtune_config.json").read_text())["method_config"] == old
    loaded = lvtune.load_adapter(tmp_path / "old", base)
    assert (loaded.config.visual_prompts, loaded.config.sentence_dropout) == (2, 0.25)
    assert loaded.config == adapter.config
    assert all((value == loaded.tensors()[name]).all() for name, value in adapter.tensors().items())


def test_the_old_name_of_a_list(capsys):
    assert main(["list", "prompts", "--grammar", "humanart", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["count"] == 285
    assert err == "note: `lvtune list prompts` is now `lvtune list sentences`\n"
