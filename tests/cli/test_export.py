"""``lvtune export``, and the example that runs what it wrote."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import make_adapter, tiny_base

import lvtune
from lvtune.cli.main import main
from lvtune.language import get_bank

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "lvtune/domains/demo_art/images/im00029.jpg"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def base(monkeypatch):
    """A tiny base, which every name stands for."""
    base = tiny_base(layers=1)
    monkeypatch.setattr(lvtune, "load_base", lambda *_: base, raising=False)
    monkeypatch.setattr("lvtune.hub.adapter_loading.load_base", lambda *_, **__: base)
    return base


@pytest.fixture
def adapter(base, tmp_path_factory):
    """A folder with a vlpose-light that reads sentences of demo-art."""
    adapter = make_adapter("vlpose-light", base, stirred=0.1, bank=get_bank("demo-art"))
    adapter.domain = "demo-art"
    return lvtune.save_adapter(adapter, tmp_path_factory.mktemp("adapter"), base)


def test_an_exported_model_finds_the_same_key_points_by_the_example(base, adapter, capsys, monkeypatch):
    assert main(["export", "--adapter", str(adapter), "--category", "sketch", "--out", "art.onnx"]) == 0
    out, err = capsys.readouterr()
    assert "vitpose-tiny with vlpose-light for demo-art, merged into the weights, reading sketch" in out
    assert "heatmaps (batch, 17, 16, 12): largest difference from PyTorch" in out
    assert err == "writing art.onnx, and comparing it with PyTorch\n"
    assert {path.name for path in Path.cwd().iterdir()} == {"art.onnx", "art.onnx.json"}

    monkeypatch.setattr(sys, "argv", ["onnx_predict.py", "art.onnx", str(PHOTO)])
    runpy.run_path(str(ROOT / "examples/onnx_predict.py"), run_name="__main__")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (sketch,) = lvtune.predict(PHOTO, base=base, adapter=adapter, category="sketch", flip_test=False)
    (mean,) = lvtune.predict(PHOTO, base=base, adapter=adapter, flip_test=False)
    assert [row[0] for row in rows] == list(sketch.skeleton.keypoints)
    found = np.array([row[1:] for row in rows], dtype=float)
    assert np.abs(found[:, 2] - sketch.scores).max() < 1e-3
    # maps of a random model have flat peaks too, on which the last bit of float32 moves the summit
    near = [np.abs(found[:, :2] - pose.keypoints).max(1) < 0.02 for pose in (sketch, mean)]
    assert near[0].sum() >= 16 and near[1].sum() < 12


def test_adapters_as_inputs_of_one_model_by_the_example(base, adapter, tmp_path, capsys, monkeypatch):
    other = lvtune.save_adapter(make_adapter("lora", base, stirred=0.3), tmp_path / "beside" / "mice", base)
    art = adapter.rename(tmp_path / "beside" / "art")
    assert main(["export", "--adapters", f"{art}, {other}", "--category", "sketch", "--out", "poses.onnx"]) == 0
    out, err = capsys.readouterr()
    assert "vitpose-tiny with 2 adapters as inputs" in out and "poses.art.safetensors (0.0 MB)" in out
    assert err == "writing poses.onnx, and comparing it with PyTorch under each adapter\n"
    names = {path.name for path in Path.cwd().iterdir()} - {"beside"}
    assert names == {"poses.onnx", "poses.onnx.json", *(f"poses.{one}.safetensors" for one in ("art", "mice", "none"))}
    for name, folder, category in (("art", art, "sketch"), ("mice", other, None), ("none", None, None)):
        monkeypatch.setattr(sys, "argv", ["onnx_predict.py", "poses.onnx", str(PHOTO), f"poses.{name}.safetensors"])
        runpy.run_path(str(ROOT / "examples/onnx_predict.py"), run_name="__main__")
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        (pose,) = lvtune.predict(PHOTO, base=base, adapter=folder, category=category, flip_test=False)
        found = np.array([row[1:] for row in rows], dtype=float)
        assert np.abs(found[:, 2] - pose.peaks).max() < 2e-3
        assert (np.abs(found[:, :2] - pose.keypoints).max(1) < 0.02).sum() >= 15


def test_a_folder_for_transformers(adapter, capsys):
    assert main(["export", "--format", "transformers", "--adapter", str(adapter), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert Path(values["folder"]) == Path("lvtune-out/export/vitpose-tiny-demo-art-vlpose-light")
    assert set(values["files"]) == {path.name for path in Path(values["folder"]).iterdir()}
    assert values["deviation"] < 1e-4 * values["largest"]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--out", "model"], 1, "error: --out model for an ONNX model; expected a name that ends in .onnx"),
        (["--category", "sketch"], 1, "error: category 'sketch' for a bare base, which reads no sentences"),
        (["--adapter", "nowhere"], 1, "error: no such adapter 'nowhere'"),
        (["--format", "onx"], 2, "error: format = 'onx'; expected one of onnx, transformers"),
        (["--tolerance=-1"], 2, "error: tolerance = -1"),
        (["--format", "transformers", "--tolerance", "0.1"], 2, "--tolerance for a folder for transformers"),
        (["--adapters", "a", "--adapter", "b"], 2, "error: --adapters with --adapter; expected one of them"),
        (["--adapters", "a", "--int8", "--calibrate", "c"], 2, "error: --adapters with --int8"),
        (["--adapters", "a", "--sentence", "a"], 2, "error: --adapters with --sentence"),
        (["--adapters", "a", "--format", "transformers"], 2, "error: --adapters with --format transformers"),
        (["--adapters", "x/a,y/a"], 2, "error: two adapters named a"),
        (["--adapters", ","], 2, "error: --adapters without an adapter"),
        (["--adapters", "nowhere"], 1, "error: no such adapter 'nowhere'"),
    ],
)
def test_mistakes(options, code, told, base, capsys):
    assert main(["export", *options]) == code
    out, err = capsys.readouterr()
    assert out == "" and told in err.splitlines()[-1]
    assert list(Path.cwd().iterdir()) == []


def test_a_difference_above_the_tolerance_is_a_failure(base, capsys):
    assert main(["export", "--tolerance", "0", "--out", "a.onnx"]) == 1
    assert "differ from PyTorch by" in capsys.readouterr().err
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("out", [".", ".."])
def test_a_folder_is_no_file_for_an_onnx_model(out, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["export", "--weights", "random", "--out", out]) == 1
    said = capsys.readouterr().err
    assert "expected a name that ends in .onnx" in said and f"say --out {Path(out) / 'pose.onnx'}" in said
