"""Own data on the command line: ``adapt DATA``, ``check-data DATA``, ``convert data`` and ``init-domain``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dlc_samples import write_lightning, write_project
from label_samples import NAMES, matches, write_pictures

import lvtune
from lvtune.cli.main import main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path / "cache"))


def answer(capsys, *argv):
    code = main([*map(str, argv), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


def fault(capsys, *argv):
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    assert code in (1, 2) and not out and err.count("\n") == 1, err
    return err


@pytest.fixture
def adapted(monkeypatch):
    seen = []

    def adapt(recipe, **kwargs):
        seen.append(recipe)
        raise lvtune.LvtuneError("stopped here", "nothing", "go on")

    monkeypatch.setattr(lvtune, "adapt", adapt, raising=False)
    return seen


def test_adapt_takes_a_project(adapted, capsys):
    root = write_project(Path("mice"))
    assert main(["adapt", str(root), "--split-by", "video", "--train.steps", "2"]) == 1
    (recipe,) = adapted
    assert (recipe.domain, recipe.data.data, recipe.data.split_by) == ("custom", "mice", "video")


def test_dry_run_says_what_is_chosen_for_own_data(capsys):
    root = write_project(Path("mice"))
    asked = ("adapt", root, "--dry-run", "--train.augment.flip", "0.25")
    chosen = {d["what"]: d for d in answer(capsys, *asked)["decisions"]}
    assert {"input size", "rotation", "scale", "labelled points turned out of the picture"} <= set(chosen)
    assert "mirrored pictures" not in chosen  # the user said how many
    assert main(list(map(str, asked))) == 0
    out = capsys.readouterr().out
    for decision in chosen.values():
        assert f"{decision['what']}: {decision['value']} ({decision['why']})" in out


def test_evaluate_takes_a_project(monkeypatch, tmp_path):
    seen = {}

    def evaluate(base, adapter, domain, **options):
        seen.update(options, domain=domain)
        raise lvtune.LvtuneError("stopped here", "nothing", "go on")

    monkeypatch.setattr(lvtune, "evaluate", evaluate, raising=False)
    root = write_lightning(tmp_path / "p")
    assert main(["evaluate", str(root)]) == 1
    assert seen["domain"] == "custom" and seen["data"].data == str(root)
    assert main(["evaluate", "--data", str(root)]) == 1
    assert seen["domain"] == "custom" and seen["data"].data == str(root)


def test_check_data_of_a_project(tmp_path, capsys):
    values = answer(capsys, "check-data", write_lightning(tmp_path / "p"), "--test-pictures", "v2")
    assert values["ok"] and values["train"]["instances"] == 2 and values["test"]["instances"] == 1
    assert list(values["train"]["keypoints_labelled"]) == list(NAMES)
    assert any("read as Lightning Pose" in warning for warning in values["train"]["warnings"])
    assert main(["check-data", str(tmp_path / "p")]) == 0
    assert "    - read as Lightning Pose: 4 pictures" in capsys.readouterr().out  # a line each


def test_convert_data(tmp_path, capsys):
    root = write_project(tmp_path / "p", single=False)
    values = answer(capsys, "convert", "data", root, "--to", "coco", "--out", tmp_path / "out")
    assert values["format"] == "DeepLabCut" and values["instances"] == 4
    file = tmp_path / "out" / "annotations.json"
    assert values["annotations"] == {"all": str(file)}
    matches(json.loads(file.read_text()), tmp_path / "out" / "images")
    assert answer(capsys, "check-data", tmp_path / "out")["ok"]
    assert any("copies of 4 pictures" in note for note in values["notes"])
    whole = answer(capsys, "convert", "data", root, "--boxes", "whole", "--link", "--out", tmp_path / "whole")
    assert any("links to 4 pictures" in note for note in whole["notes"])
    assert answer(capsys, "check-data", tmp_path / "whole", "--symlinks")["ok"]
    first = json.loads((tmp_path / "whole" / "annotations.json").read_text())["annotations"][0]
    assert first["bbox"] == [0, 0, 96, 64]


def test_init_domain_and_its_use(tmp_path, capsys):
    root = write_project(tmp_path / "p")
    values = answer(capsys, "init-domain", root, "--out", tmp_path / "mice.yaml")
    assert values["keypoints"] == list(NAMES)
    for argv in (["--domain", tmp_path / "mice.yaml"], [tmp_path / "mice.yaml"]):
        checked = answer(capsys, "check-data", *argv)
        assert checked["domain"] == "mice" and checked["ok"]
    assert "which exists" in fault(capsys, "init-domain", root, "--out", tmp_path / "mice.yaml")
    answer(capsys, "init-domain", root, "--out", tmp_path / "mice.yaml", "--force")
    assert ".yaml" in fault(capsys, "init-domain", root, "--out", "mice.txt")


def test_what_is_given_wrongly(tmp_path, capsys):
    root = write_project(tmp_path / "p")
    write_pictures(tmp_path / "pictures")
    assert "no file or folder at 'gone'" in fault(capsys, "adapt", "gone")
    assert "one of them" in fault(capsys, "check-data", root, "--data", root)
    assert "no labels were recognised" in fault(capsys, "check-data", tmp_path / "pictures")
    assert "--to yolo" in fault(capsys, "convert", "data", root, "--to", "yolo", "--out", "o")
    assert "--boxes tight" in fault(capsys, "convert", "data", root, "--boxes", "tight", "--out", "o")
    assert "not empty" in fault(capsys, "convert", "data", root, "--out", root)


def test_names_of_folders_of_own_domains(adapted, tmp_path):
    from lvtune.api.recipe import Recipe

    recipe = Recipe.from_dict({"domain": str(tmp_path / "mice.yaml")})
    assert recipe.folder.name == "vitpose-ti-mice-vlpose-light"


def test_adapter_of_somebodys_own_domain_on_other_data():
    from lvtune.cli.outcome import choose_domain
    from lvtune.config.options import DataOptions
    from lvtune.core.errors import UsageError

    found = {"domain": "mice"}
    assert choose_domain(None, DataOptions(data="p"), found) == "custom"
    assert choose_domain("mice.yaml", DataOptions(), found) == "mice.yaml"
    with pytest.raises(UsageError, match="'mice', which is a domain file of its maker"):
        choose_domain(None, DataOptions(), found)
    assert choose_domain(None, DataOptions(data="p"), {"domain": "humanart/sketch"}) == "humanart/sketch"
