"""``lvtune adapt --grow``: from the labels to predictions whose old key points are the same bits."""

import json

import numpy as np
import pytest
from own_files import MOUSE, draw_pictures, mice, write

import lvtune
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14

SHORT = ["--steps", "3", "--train.batch-size", "4", "--device", "cpu", "--no-gate", "--base.input-size", "128x96"]


def labels(names, count=30):
    """The mice with some of their key points, in any order."""
    data = mice(count)
    places = [MOUSE.index(name) for name in names]
    for one in data["annotations"]:
        points = np.array(one["keypoints"]).reshape(-1, 3)[places]
        one |= {"keypoints": points.reshape(-1).tolist(), "num_keypoints": len(names)}
    data["categories"][0] |= {"keypoints": names, "skeleton": []}
    return data


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An adapter for three key points, labels of more, and the pictures."""
    home = tmp_path_factory.mktemp("mice")
    draw_pictures(mice(30), home)
    kept = ["nose", "left_ear", "right_ear"]
    first = write(labels(kept), home, "first.json")
    more = write(labels(["tail", "right_ear", "nose", "left_ear", "left_hip", "right_hip"]), home, "more.json")
    argv = ["adapt", "--data", str(home), "--annotations", str(first), "--method", "lora", "--out", str(home / "old")]
    assert main([*argv, *SHORT]) == 0
    return home, home / "old", more


def test_old_key_points_are_predicted_bit_for_bit(made, capsys):
    home, old, more = made
    argv = ["adapt", "--data", str(home), "--annotations", str(more), "--grow", str(old), "--out", str(home / "new")]
    assert main([*argv, *SHORT]) == 0
    said = capsys.readouterr().out
    assert "adapter: 291 parameters" in said  # three rows of 96 weights and a bias
    report = json.loads((home / "new" / "report.json").read_text())
    decision = next(one for one in report["decisions"] if one["what"] == "grow")
    assert decision["value"] == "3 new key points (tail, left_hip, right_hip)" and "stay bit for bit" in decision["why"]
    config = json.loads((home / "new" / "lvtune_config.json").read_text())
    assert config["training"]["grown"]["keypoints"] == ["nose", "left_ear", "right_ear"]
    boxes = {
        one["file_name"]: [row["bbox"]] for one, row in zip(mice(4)["images"], mice(4)["annotations"], strict=True)
    }
    pictures = [home / name for name in boxes]
    asked = {"boxes": {str(home / name): box for name, box in boxes.items()}}
    before = lvtune.predict(pictures, adapter=str(old), **asked)
    after = lvtune.predict(pictures, adapter=str(home / "new"), **asked)
    for one, other in zip(before, after, strict=True):
        places = [other.skeleton.keypoints.index(name) for name in one.skeleton.keypoints]
        assert other.skeleton.keypoints[0] == "tail" and len(other.skeleton.keypoints) == 6
        assert np.array_equal(one.keypoints, other.keypoints[places])
        assert np.array_equal(one.scores, other.scores[places])
        pairs = {(other.skeleton.keypoints[a], other.skeleton.keypoints[b]) for a, b in other.skeleton.pairs}
        assert pairs == {("left_ear", "right_ear"), ("left_hip", "right_hip")}


def test_the_base_and_its_input_size_are_those_of_the_adapter(made):
    _, old, _ = made
    recipe = Recipe.from_dict({"grow": str(old)})
    assert recipe.base == "vitpose-ti" and recipe.method == "grown" and recipe.base_options.input_size == "128x96"
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert Recipe.from_dict({"grow": "base"}).method == "grown"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["nose", "left_ear", "tail"], "without the key point right_ear"),
        (["nose", "right_ear", "left_ear"], "and no other"),
        (["nose", "left_ear", "right_ear", "left_hip"], "--flip-pairs"),
    ],
)
def test_labels_that_do_not_fit_are_told_before_any_work(made, tmp_path, capsys, names, said):
    home, old, _ = made
    file = write(labels(names), tmp_path, "wrong.json")
    argv = [
        "adapt",
        "--data",
        str(home),
        "--annotations",
        str(file),
        "--grow",
        str(old),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*argv, *SHORT]) != 0
    error = capsys.readouterr().err
    assert (
        said in error and "tuning grown" not in error and not (tmp_path / "out" / "adapter_model.safetensors").exists()
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"grow": "base", "method": "lora"}, "--grow with --method lora"),
        ({"grow": "base", "start": "shipped"}, "--grow with --start shipped"),
        ({"grow": "base", "text_only": True}, "--grow with --text-only"),
        ({"grow": "base", "unlabelled": "train"}, "--grow with --unlabelled"),
        ({"grow": "base", "keep": 99.0}, "--grow with --keep"),
        ({"grow": "base", "method_options": {"member": "lora"}, "method": "grown"}, "options of the method"),
        ({"method": "grown"}, "--method grown by itself"),
        ({"grow": "nowhere/at all"}, ""),
    ],
)
def test_what_does_not_go_with_it_is_said(values, said):
    with pytest.raises(LvtuneError) as error:
        Recipe.from_dict(values)
    assert said in str(error.value)


def test_one_adapter_cannot_be_grown_and_go_on():
    with pytest.raises(LvtuneError) as error:
        Recipe(grow="base", after="A", domain="demo-art/sketch", method="lora")
    assert "--grow with --after" in str(error.value) and "leave --after out" in str(error.value)


def test_base_and_adapter_must_be_of_one_name(made):
    with pytest.raises(LvtuneError) as error:
        Recipe.from_dict({"grow": str(made[1]), "base": "vitpose-b"})
    assert "--base vitpose-b with --grow" in str(error.value) and "leave --base out" in str(error.value)
    Recipe.from_dict({"grow": str(made[1]), "base": "vitpose-ti"})


def own_points(count=30):
    """The mice with LSP's key points, which the base knows, and one more; boxes of 400 pixels."""
    data = mice(count)
    names = [*LSP_14.keypoints, "tail"]
    for one in data["annotations"]:
        points = np.array(one["keypoints"]).reshape(-1, 3)
        points = points[np.arange(len(names)) % len(points)]
        one |= {"keypoints": points.reshape(-1).tolist(), "num_keypoints": len(names)}
    data["categories"][0] |= {"keypoints": names, "skeleton": []}
    return data


@pytest.mark.parametrize("size", [None, "auto", "own", "160x160"])
def test_the_base_is_grown_at_its_own_size_where_none_is_said(size, tmp_path):
    """For own data another size is chosen; the base's key points would move with it."""
    draw_pictures(mice(30), tmp_path)
    values = {"data": {"data": str(tmp_path), "annotations": str(write(own_points(), tmp_path))}, "device": "cpu",
              "gate": False, "train": {"steps": 1, "batch_size": 4}}  # fmt: skip
    own = lvtune.load_base("vitpose-ti", "random").input_size
    assert prepare(Recipe.from_dict(values)).base.input_size != own, "the data must ask for another size"
    given = {} if size is None else {"base_options": {"input_size": size}}
    job = prepare(Recipe.from_dict({**values, **given, "grow": "base"}))
    line = next(one.line() for one in job.decisions if one.what == "grow")
    assert job.base.input_size == ((160, 160) if size == "160x160" else own)
    assert f"stay bit for bit at the input size {'x'.join(map(str, job.base.input_size))}" in line


def test_a_dry_run_shows_the_new_rows_alone(made, capsys):
    home, old, more = made
    argv = ["adapt", "--data", str(home), "--annotations", str(more), "--grow", str(old), "--dry-run", *SHORT]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "rows.weight" in said and "291 trainable parameters" in said and "3 new key points" in said
