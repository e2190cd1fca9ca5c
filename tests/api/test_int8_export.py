"""8-bit models: smaller, about as good, and dropped where they are not."""

from __future__ import annotations

import json

import cv2
import numpy as np
import onnx
import pytest
import torch
from tiny import tiny_base

import lvtune
from lvtune.api import int8_export
from lvtune.api.int8_export import int8_name, make_int8, open_data
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny base of the key points of demo-art, and its ONNX file."""
    base = tiny_base(layers=1, skeleton=LSP_14)
    return base, lvtune.export_onnx(base, None, tmp_path_factory.mktemp("onnx") / "tiny.onnx").file


def test_a_model_in_8_bits_is_scored_by_the_labels_of_the_domain(model):
    base, file = model
    found = make_int8(base, file, open_data(base, base.skeleton, "demo-art", pictures=8), max_loss=100)
    assert found.file == int8_name(file) and found.file.is_file()
    assert found.int8.megabytes < 0.75 * found.float32.megabytes
    assert set(found.int8.scores) == {"pck@0.2", "ap", "px_mean"} and found.main == "pck@0.2"
    assert found.loss == pytest.approx(found.float32.scores["pck@0.2"] - found.int8.scores["pck@0.2"])
    assert "calibrated with 8 instances" in found.what and "scored on 32" in found.what
    kinds = {one.data_type for one in onnx.load(found.file).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    # it says how to use it, as the float32 file does
    entries = [{one.key: one.value for one in onnx.load(path).metadata_props} for path in (file, found.file)]
    assert entries[0].items() <= entries[1].items() and "lvtune.skeleton" in entries[1]


def test_its_heatmaps_are_near_those_of_float32(model):
    base, file = model
    found = make_int8(base, file, open_data(base, base.skeleton, "demo-art", pictures=16), max_loss=100)
    from lvtune.export.int8 import OnnxModel

    pixels = torch.randn(4, 3, 64, 48, generator=torch.Generator().manual_seed(0)).numpy()
    one, other = OnnxModel(file).heatmaps(pixels), OnnxModel(found.file).heatmaps(pixels)
    assert 0 < np.abs(one - other).max() < 0.35 * np.abs(one).max()
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.97


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of six pictures without labels."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("pictures")
    for i in range(6):
        noise = cv2.GaussianBlur(rng.integers(0, 255, (90, 70, 3)).astype(np.uint8), (0, 0), 3)
        cv2.imwrite(str(folder / f"{i}.png"), noise)
    return folder


def test_pictures_without_labels_are_compared_with_float32(model, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lvtune.hub.adapter_loading.load_base", lambda *_, **__: model[0])
    monkeypatch.chdir(tmp_path)
    arguments = ["export", "--int8", "--calibrate", str(pictures), "--max-loss", "100", "--out", "a.onnx"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "compared with float32 on 3" in out and "agreement" in out and "100" in out
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx", "a.onnx.json", "a.int8.onnx"}


def test_a_model_that_loses_too_much_is_dropped(model, pictures, monkeypatch):
    base, file = model
    real, calls = int8_export._predicted, []

    def worse(*arguments):
        calls.append(1)
        points, scores = real(*arguments)
        return (points + 500 if len(calls) == 2 else points), scores

    monkeypatch.setattr(int8_export, "_predicted", worse)
    int8_name(file).unlink(missing_ok=True)
    data = open_data(base, base.skeleton, str(pictures))
    with pytest.raises(LvtuneError, match=r"loses 100.00 points of agreement .*--max-loss"):
        make_int8(base, file, data, max_loss=1)
    assert file.is_file() and not int8_name(file).exists()


def test_boxes_for_pictures_without_labels(model, pictures, tmp_path):
    base, _ = model
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({f"{i}.png": [[5, 5, 30, 40]] * (i % 2 + 1) for i in range(6)}))
    data = open_data(base, base.skeleton, str(pictures), boxes=str(boxes))
    assert sum(len(one.pixels) for one in data.calibration) == 3 and sum(len(one.pixels) for one in data.test) == 6
    assert data.test[0].scale.max() < 70 < open_data(base, base.skeleton, str(pictures)).test[0].scale.max()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--int8"], 2, "--int8 without pictures to calibrate with"),
        (["--calibrate", "demo-art"], 2, "--calibrate without --int8"),
        (["--int8", "--calibrate", "x", "--format", "transformers"], 2, "--int8 for a folder for transformers"),
        (["--int8", "--calibrate", "nowhere", "--out", "a.onnx"], 1, "pictures to calibrate with at 'nowhere'"),
        (["--int8", "--calibrate", "demo-art", "--max-loss=-1"], 2, "max_loss"),
    ],
)
def test_mistakes(arguments, code, told, model, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("lvtune.hub.adapter_loading.load_base", lambda *_, **__: model[0])
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == code
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_labels_of_other_key_points_are_refused(model):
    base = tiny_base(layers=1)  # 17 key points, and the labels of demo-art have 14
    with pytest.raises(LvtuneError, match="labels of other key points"):
        open_data(base, base.skeleton, "demo-art", pictures=4)
