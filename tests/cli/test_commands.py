"""The commands that read: on a real photograph, and on small own data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lvtune.cli.main import COMMANDS, main

PHOTO = Path(__file__).parents[1] / "samples/coco/val2017/000000000785.jpg"
NAMES = ["nose", "left_hand", "right_hand", "tail"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own(tmp_path):
    """Five pictures of noise with four key points each; folder and annotation file."""
    import cv2

    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(5):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 255, (60, 50, 3), np.uint8))
        images.append({"id": i, "file_name": f"{i}.png", "width": 50, "height": 60})
        points = np.column_stack([rng.uniform(10, 40, 4), rng.uniform(10, 50, 4), np.full(4, 2)])
        annotations.append(
            {"id": i + 1, "image_id": i, "category_id": 1, "bbox": [5, 5, 40, 50], "area": 2000, "iscrowd": 0,
             "num_keypoints": 4, "keypoints": points.ravel().tolist()}
        )  # fmt: skip
    category = {"id": 1, "name": "cat", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}
    file = tmp_path / "own.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return tmp_path, file


def answer(capsys, *argv: str) -> dict:
    """What ``lvtune ARGV --json`` prints; it is all that stands on stdout."""
    code = main([*argv, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


def test_list_names_everything(capsys):
    values = answer(capsys, "list")
    assert {"vitpose-ti", "vitpose-b"} <= set(values["bases"])
    assert {"vlpose", "lora", "full", "norm", "bitfit"} <= set(values["methods"])
    assert {"demo-art", "humanart", "coco"} <= set(values["domains"])
    assert {"minilm", "clip", "blip"} <= set(values["text-encoders"])
    assert answer(capsys, "list", "methods") == {"methods": values["methods"]}


def test_list_prompts_prints_all_of_a_grammar(capsys):
    values = answer(capsys, "list", "sentences", "--grammar", "hands")
    assert (values["count"], values["distinct"], len(values["sentences"])) == (3920, 3724, 3920)
    assert values["sentences"][2] == "a cropped image of white hand with lake room"
    assert main(["list", "sentences", "--grammar", "humanart"]) == 0
    text = capsys.readouterr().out
    assert "285 sentences, 285 of them different" in text and "a photo of a human doing acrobatics" in text
    assert "hands" in answer(capsys, "list", "grammars")["grammars"]
    for wrong in (["list", "sentences"], ["list", "--grammar", "hands"]):
        assert main(wrong) == 2
    assert "lvtune list sentences --grammar hands" in capsys.readouterr().err


def test_predict_writes_the_drawn_picture_and_poses(capsys, tmp_path):
    out = tmp_path / "poses"
    assert main(["predict", str(PHOTO), "--weights", "random", "--out", str(out), "--no-flip-test"]) == 0
    assert str(out) in capsys.readouterr().out
    assert {file.name for file in out.iterdir()} == {
        "000000000785.png",
        "poses.json",
        "poses.csv",
        "results.coco.json",
        "poses.jsonl",
        "summary.json",
    }


def test_predict_json_writes_nothing_unasked(capsys, tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({PHOTO.name: [[280, 40, 200, 340], [0, 0, 100, 200]]}))
    values = answer(capsys, "predict", str(PHOTO), "--weights", "random", "--boxes", str(boxes))
    assert [pose["bbox"] for pose in values["poses"]] == [[280, 40, 200, 340], [0, 0, 100, 200]]
    assert len(values["poses"][0]["keypoints"][0]) == 4
    assert values["out"] is None
    assert not Path("lvtune-out").exists()


def test_check_data_tells_what_is_there(own, capsys):
    folder, file = own
    values = answer(capsys, "check-data", "--data", str(folder), "--annotations", str(file))
    assert values["ok"] is True
    assert values["train"]["instances"] + values["test"]["instances"] == 5
    assert values["train"]["skeleton"]["keypoints"] == 4


def test_check_data_of_a_missing_picture_prints_its_answer_and_fails(own, capsys):
    folder, file = own
    (folder / "3.png").unlink()
    assert main(["check-data", "--data", str(folder), "--annotations", str(file), "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["ok"] is False
    assert err.startswith("error: ")
    assert "3.png" in err


def test_own_data_from_adapting_to_predicting(own, capsys):
    folder, file = own
    given = ["--data", str(folder), "--annotations", str(file), "--weights", "random"]
    report = answer(capsys, "adapt", *given, "--method", "lora", "--train.steps", "2", "--out", "out")
    assert report["target"]["before"] is None
    assert report["base"]["fingerprint_before"] == report["base"]["fingerprint_after"]
    written = {path.name for path in Path("out").iterdir()}
    assert {
        "adapter_model.safetensors",
        "lvtune_config.json",
        "README.md",
        "report.json",
        "report.html",
    } <= written
    assert json.loads(Path("out/report.json").read_text()) == report

    scored = answer(capsys, "evaluate", *given, "--adapter", "out", "--category", "none")
    assert scored["target"]["pck@0.5"] == pytest.approx(report["target"]["after_on"]["pck@0.5"])

    inspected = answer(capsys, "inspect", "out")
    assert inspected["config"]["method"] == "lora"
    assert inspected["config"]["skeleton"]["keypoints"] == NAMES
    poses = answer(capsys, "predict", str(folder / "0.png"), "--weights", "random", "--adapter", "out")["poses"]
    assert [point["name"] for point in poses[0]["keypoints"]] == NAMES


def test_dry_run_writes_nothing(own, capsys):
    folder, file = own
    given = ["--data", str(folder), "--annotations", str(file), "--weights", "random", "--method", "lora"]
    values = answer(capsys, "adapt", *given, "--dry-run", "--method.r", "2")
    assert values["recipe"]["method_options"]["r"] == 2
    assert values["trainable"] == sum(row["parameters"] for row in values["tree"])
    assert len(values["targets"]) == 25 and "head.conv" in values["targets"]
    assert not any("embeddings" in name for name in values["targets"])
    assert not Path("lvtune-out").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_line_of_help(command, capsys):
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    from importlib import import_module

    made = import_module(f"lvtune.cli.{command.replace('-', '_')}").parser(["--help"], COMMANDS[command])
    assert [action.dest for action in made._actions if not action.help] == []
