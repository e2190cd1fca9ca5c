"""``lvtune combine`` as users type it."""

import contextlib
import json

import pytest
import torch
from tiny import make_adapter

import lvtune
from lvtune.cli.main import main
from lvtune.data.skeletons import Skeleton
from lvtune.domains.demo_art import FOLDER

PICTURE = sorted((FOLDER / "images").glob("*.jpg"))[0]


@pytest.fixture(scope="module")
def base():
    return lvtune.load_base("vitpose-ti")


@pytest.fixture
def folders(base, tmp_path):
    """Two LoRAs and a vlpose, by name."""
    made = {"a": ("lora", 1), "b": ("lora", 2), "v": ("vlpose", 3)}
    for name, (method, seed) in made.items():
        lvtune.save_adapter(make_adapter(method, base, stirred=0.02, seed=seed), tmp_path / name)
    return {name: str(tmp_path / name) for name in made}


def answer(base, adapter):
    pixels = torch.randn(2, 3, *base.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), contextlib.nullcontext() if adapter is None else lvtune.attach(base, adapter):
        return base(pixels)


@pytest.mark.parametrize(
    ("options", "make"),
    [
        ([], lambda a, b: lvtune.average([a, b])),
        (["--factors", "3,1", "--rank", "4"], lambda a, b: lvtune.average([a, b], [3, 1], rank=4)),
        (["--how", "sum", "--factors=-1,0.5"], lambda a, b: lvtune.combine([a, b], [-1, 0.5])),
        (["--how", "sum"], lambda a, b: lvtune.combine([a, b], [1, 1])),
    ],
)
def test_what_is_written_is_what_python_makes(base, folders, capsys, options, make):
    out = f"{folders['a']}-and-b"
    assert main(["combine", folders["a"], folders["b"], *options, "--out", out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    expected = make(*(lvtune.load_adapter(folders[name], base) for name in "ab"))
    found = lvtune.load_adapter(out, base)
    assert told["folder"] == out and told["method"] == "lora"
    assert told["numbers"] == sum(value.numel() for value in expected.tensors().values())
    assert torch.equal(answer(base, found), answer(base, expected))


def test_a_stack_and_the_command_that_uses_it(base, folders, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["combine", folders["a"], folders["v"], "--how", "stack", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "stack of" in said and f"lvtune predict PICTURE --adapter {out}" in said
    expected = lvtune.stack([lvtune.load_adapter(folders[name], base) for name in "av"])
    assert torch.equal(answer(base, lvtune.load_adapter(out, base)), answer(base, expected))
    assert main(["inspect", str(out), "--json"]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["method_config"]["members"] == ["lora", "vlpose"]


def test_a_join_says_which_adapter_gives_nothing(folders, tmp_path, capsys):
    assert main(["combine", folders["a"], folders["b"], "--how", "join", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert f"from {folders['b']}: no key point (leave it out: it costs a run of the base)" in said
    assert said.count("no key point") == 1


@pytest.mark.parametrize("how", ["average", "stack"])
def test_what_was_fitted_to_one_adapter_alone_is_said_to_stay_behind(base, folders, tmp_path, capsys, how):
    first = lvtune.load_adapter(folders["a"], base)
    first.saved_with = {**first.saved_with, "calibration": {"any": 1}, "gate": {"any": 1}}
    with pytest.MonkeyPatch.context() as patch:
        load = lvtune.load_adapter
        patch.setattr(lvtune, "load_adapter", lambda place, base: first if place == folders["a"] else load(place, base))
        given = ["combine", folders["a"], folders["b"], "--how", how]
        assert main([*given, "--out", str(tmp_path / "out")]) == 0
    line = capsys.readouterr().out.split("not carried over, since fitted to one adapter alone: ")[1].split("\n")[0]
    assert line == f"calibrated confidence of {folders['a']}; gate of {folders['a']}"
    assert main([*given, "--out", str(tmp_path / "other")]) == 0
    assert "not carried over" not in capsys.readouterr().out


def test_what_goes_wrong_is_one_line(folders, tmp_path, capsys):
    out = str(tmp_path / "out")
    mistakes = {
        "adapters of one method": ["a", "v"],
        "for 2 adapters": ["a", "b", "--factors", "1"],
        "--how sum), which subtracts": ["a", "b", "--factors", "1,-1"],
        "--factors for a stack": ["a", "v", "--how", "stack", "--factors", "1,1"],
        "--rank for a stack": ["a", "v", "--how", "stack", "--rank", "3"],
        "put the member that brings the head last": ["v", "a", "--how", "stack"],
    }
    for message, words in mistakes.items():
        assert main(["combine", *(folders.get(word, word) for word in words), "--out", out]) == 1
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("error:") == 1 and message in said.err
    assert not (tmp_path / "out").exists()
    assert main(["combine", folders["a"], "--how", "mean"]) == 2
    assert "average" in capsys.readouterr().err


def test_an_adapter_is_not_replaced_unasked(folders, capsys):
    words = ["combine", folders["a"], folders["b"], "--out", folders["v"]]
    before = lvtune.storage.adapter_file.read(folders["v"])[1]
    assert main(words) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert lvtune.storage.adapter_file.read(folders["v"])[1] == before
    assert main([*words, "--overwrite"]) == 0
    assert lvtune.storage.adapter_file.read(folders["v"])[1]["method"] == "lora"


def test_a_join_of_an_adapter_and_the_base(base, tmp_path, capsys):
    tail = Skeleton("tail", ("head_top", "left_tail", "right_tail"), (0.05,) * 3)
    adapter = make_adapter("lora", base, stirred=0.02, skeleton=tail)
    folder, out = lvtune.save_adapter(adapter, tmp_path / "tail"), tmp_path / "both"
    assert main(["combine", "base", str(folder), "--how", "join", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"from {folder}: left_tail, right_tail" in said and "2 runs of the base" in said and "flip test" not in said
    found = answer(base, lvtune.load_adapter(out, base))
    assert torch.equal(found[:, :14], answer(base, None)) and torch.equal(found[:, 14:], answer(base, adapter)[:, 1:])
    argv = ["combine", "base", str(folder), "--how", "join", "--points", "2:head_top", "--out", str(out), "--overwrite"]
    assert main([*argv, "--json"]) == 0
    told = dict(json.loads(capsys.readouterr().out)["keypoints"])
    assert told["head_top"] == 2 and told["neck"] == 1
    assert main(["predict", "--base", "vitpose-ti", "--adapter", str(out), "--json", str(PICTURE)]) == 0
    assert len(json.loads(capsys.readouterr().out)["poses"][0]["keypoints"]) == 16


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--how", "join", "--points", "nose"], "--points nose"),
        (["--how", "join", "--points", "2:nosse"], "nosse"),
        (["--how", "join", "--points", "5:neck"], "adapter 5"),
        (["--how", "join", "--factors", "1,1"], "--factors for --how join"),
        (["--points", "1:neck"], "--points for --how average"),
    ],
)
def test_a_join_that_makes_no_sense(folders, tmp_path, capsys, options, said):
    assert main(["combine", folders["a"], folders["v"], *options, "--out", str(tmp_path / "out")]) != 0
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "out").exists()
