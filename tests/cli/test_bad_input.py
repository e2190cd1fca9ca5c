"""Bad input, as a user gives it: one ``error:`` line in three parts, exit code 1, no traceback.

Unknown options and wrong values on the command line (exit code 2) are in ``test_usage.py``.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import lvtune
from lvtune.cli.main import main

SAMPLES = Path(__file__).parents[1] / "samples"
PHOTO = SAMPLES / "coco/val2017/000000000785.jpg"
ADAPT = "adapt --weights random --steps 1 --method norm --out out"
OWN = f"{ADAPT} --data pictures --annotations own.json"


@pytest.fixture(scope="session")
def adapter(tmp_path_factory) -> Path:
    """A saved adapter for ``vitpose-ti`` with random weights."""
    base = lvtune.load_base("vitpose-ti", weights="random")
    folder = tmp_path_factory.mktemp("bad") / "adapter"
    lvtune.save_adapter(lvtune.create_adapter("bitfit", base), folder, base)
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, adapter):
    """A folder with an adapter, a photograph, and own data that is sound: two pictures of one person each."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(adapter, "adapter")
    shutil.copy(PHOTO, "photo.jpg")
    Path("pictures").mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(PHOTO, Path("pictures") / name)
    write_own()


def write_own(image: dict | None = None, person: dict | None = None, category: dict | None = None) -> None:
    """``own.json``, with changes to every image, person or to the category; None takes a key away."""

    def changed(values: dict, changes: dict | None) -> dict:
        return {k: v for k, v in (values | (changes or {})).items() if v is not None}

    images, people = [], []
    for i, name in enumerate(("a.jpg", "b.jpg")):
        images.append(changed({"id": i, "file_name": name, "width": 640, "height": 425}, image))
        points = np.column_stack([np.linspace(300, 400, 14), np.linspace(50, 350, 14), np.full(14, 2)])
        one = {
            "id": i,
            "image_id": i,
            "category_id": 1,
            "bbox": [280, 40, 200, 340],
            "area": 9000,
            "iscrowd": 0,
        }
        people.append(changed(one | {"num_keypoints": 14, "keypoints": points.ravel().tolist()}, person))
    from lvtune.data.skeletons import LSP_14

    kind = changed({"id": 1, "name": "person", "keypoints": list(LSP_14.keypoints), "skeleton": []}, category)
    Path("own.json").write_text(json.dumps({"images": images, "annotations": people, "categories": [kind]}))


def refused(capsys, line: str) -> str:
    """The error line of ``lvtune LINE``."""
    code = main(line.split())
    out, err = capsys.readouterr()
    (message,) = [text for text in err.splitlines() if text.startswith("error: ")]
    assert code == 1, message
    assert out == ""
    assert "Traceback" not in err
    given, expected, fix = message.removeprefix("error: ").rsplit("; ", 2)
    assert given
    assert expected.startswith("expected ") or "; expected " in message
    assert "internal error" not in message, message
    assert fix
    return message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("adapt --base vitpose-q", "did you mean 'vitpose-"),
        ("adapt --method lorra", "did you mean 'lora'?"),
        ("adapt --domain demo-arts --weights random", "did you mean 'demo-art'?"),
        ("adapt --domain humanart/sketsh --weights random", "sketch"),
        ("adapt --domain humanart --weights random", "--data FOLDER"),
        ("adapt --domain humanart --weights random --data pictures", "annotations"),
        ("adapt --domain coco --weights random --data nowhere", "nowhere"),
        ("adapt --weights nowhere.pth", "nowhere.pth"),
        ("adapt --weights photo.jpg", "photo.jpg"),
        ("adapt --weights random --device cuda:77", "cuda:77"),
        ("adapt --weights random --encoder clipp --sentences sketch=lines", "did you mean 'clip'?"),
        ("adapt --weights random --method vlpose --method.matcher concatt", "did you mean 'concat'?"),
        ("adapt --weights random --method lora --method.targets quary", "query"),
        (f"{OWN} --skeleton coco17", "did you mean 'coco-17'?"),
        (f"{ADAPT} --data pictures", "--annotations"),
        (f"{ADAPT} --data pictures --annotations nowhere.json", "nowhere.json"),
        (f"{ADAPT} --data pictures --annotations photo.jpg", "photo.jpg"),
        ("evaluate --weights random --adapter nowhere", "nowhere"),
        ("evaluate --base vitpose-s --weights random --adapter adapter --limit 2", "vitpose-ti"),
        ("inspect pictures", "pictures"),
        ("predict nowhere.jpg --weights random", "nowhere.jpg"),
        ("predict own.json --weights random", "own.json"),
        ("predict photo.jpg --weights random --category sketch", "--adapter"),
        ("predict photo.jpg --weights random --category auto", "without an adapter that reads sentences"),
        ("predict photo.jpg --weights random --boxes own.json", "photo.jpg"),
        ("predict photo.jpg --weights random --boxes photo.jpg", "photo.jpg"),
        ("convert vitpose own.json", "own.json"),
        ("convert vlpose adapter/adapter_model.safetensors", "checkpoint"),
    ],
)
def test_names_and_places(line, said, capsys):
    assert said in refused(capsys, line)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"person": {"keypoints": None}}, "keypoints"),
        ({"person": {"keypoints": [1.0, 2.0, 2]}}, "key points"),
        ({"person": {"keypoints": [300.0, 50.0, 0] * 14, "num_keypoints": 0}}, "no person"),
        ({"person": {"keypoints": [1e30, 50.0, 2] * 14}}, "far outside"),
        ({"person": {"bbox": [280, 40, 1e-9, 1e-9]}}, "smaller than a pixel"),
        ({"person": {"image_id": 77}}, "77"),
        ({"category": {"keypoints": None}}, "keypoints"),
        ({"category": {"keypoints": [f"point_{i}" for i in range(14)]}}, "trains a predictor"),
        ({"image": {"file_name": "a.jpg"}}, "one picture"),
        ({"image": {"width": None, "file_name": "gone.jpg"}}, "width"),
    ],
)
def test_annotations(changes, said, capsys):
    write_own(**changes)
    assert said in refused(capsys, OWN)


def test_a_missing_picture(capsys):
    Path("pictures/a.jpg").unlink()
    assert "a.jpg" in refused(capsys, OWN)


def test_a_broken_jpeg(capsys):
    Path("photo.jpg").write_bytes(PHOTO.read_bytes()[:5000])
    assert "photo.jpg" in refused(capsys, "predict photo.jpg --weights random")


def test_an_empty_folder(capsys):
    Path("empty").mkdir()
    assert "empty" in refused(capsys, "predict empty --weights random")


def test_boxes_without_size(capsys):
    Path("boxes.json").write_text(json.dumps({"photo.jpg": [[10, 10, 0, 50]]}))
    assert "above 0" in refused(capsys, "predict photo.jpg --weights random --boxes boxes.json")


@pytest.mark.parametrize(
    "line", ["adapt --weights random --out file/out", "predict photo.jpg --weights random --out file"]
)
def test_an_output_that_cannot_be_written(line, capsys):
    Path("file").touch()
    assert "--out" in refused(capsys, line)


def test_a_truncated_adapter(capsys):
    file = Path("adapter/adapter_model.safetensors")
    os.truncate(file, file.stat().st_size // 2)
    assert "adapter_model.safetensors" in refused(capsys, "inspect adapter")


def test_a_config_that_disagrees_with_its_file(capsys):
    file = Path("adapter/lvtune_config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"method": "lora"}))
    assert "lvtune_config.json" in refused(capsys, "inspect adapter")


def test_a_number_that_is_not_finite(capsys):
    file = Path("adapter/adapter_model.safetensors")
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    name = next(iter(tensors))
    save_file(tensors | {name: torch.full_like(tensors[name], float("nan"))}, file, metadata=metadata)
    message = refused(capsys, "evaluate --weights random --adapter adapter --limit 2")
    # the checksum of the tensors is looked at before their values
    assert "adapter_model.safetensors" in message and "sha256 differs" in message
