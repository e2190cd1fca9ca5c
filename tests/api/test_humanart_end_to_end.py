"""``lvtune adapt --base vitpose-b --weights FOLDER --domain humanart --data SAMPLE``: the published method, end to end.

SAMPLE is a small sample in the published layouts whose validation file serves as the training file too, with COCO
beside Human-Art. The weights are random, in the format of the Hub.
"""

from __future__ import annotations

import json

import layouts
import pytest
from tiny import snapshot

from lvtune.bases.base_registry import load_base
from lvtune.bases.vitpose import build_model, make_config
from lvtune.bases.vitpose_specs import ARCH
from lvtune.cli.main import main
from lvtune.storage.adapter_file import TENSORS_FILE

SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture
def sample(tmp_path):
    layouts.humanart(tmp_path / "data")
    layouts.coco(tmp_path / "data" / "coco")
    return tmp_path / "data"


def saved_weights(folder, size):
    model = build_model(make_config(size, keypoints=17, input_size=(256, 192)), (256, 256), 17, 3)
    model.save_pretrained(folder)
    return str(folder)


def adapted(weights, sample, out, capsys, *options):
    line = ["adapt", "--base", "vitpose-b", "--weights", weights, "--domain", "humanart", "--data", str(sample),
            "--out", str(out), "--steps", "1", *options]  # fmt: skip
    assert main(line) == 0
    return json.loads((out / "report.json").read_text()), capsys.readouterr().out


def check(report, printed, out):
    assert report["recipe"]["method"] == report["adapter"]["method"] == "vlpose"
    assert report["recipe"]["settings"] == "published"
    assert report["recipe"]["evaluate"]["category"] == "own"
    decided = {one["what"]: one for one in report["decisions"]}
    assert decided["method"]["value"] == "vlpose" and "domain humanart" in decided["method"]["why"]
    assert decided["detector boxes"]["value"].endswith("HumanArt_validation_detections_AP_H_56_person.json")
    for side in ("target", "source"):  # COCO lies beside, with detector boxes of its own
        for when in ("before", "after_on", "after_off"):
            assert report[side][when]["ap (detector boxes)"] is not None
    assert report["source_name"] == "COCO val2017" and "source" not in report["reasons"]
    assert report["retention"]["off"] in (None, 1.0) and report["source_off_identical"]
    assert report["base"]["fingerprint_before"] == report["base"]["fingerprint_after"]
    assert (out / TENSORS_FILE).is_file() and "base: unchanged, bit for bit" in printed


@pytest.mark.parametrize("kind", ["folder", "random"])
def test_the_command_of_the_mission(kind, sample, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(ARCH, "b", SMALL)
    weights = saved_weights(tmp_path / "weights", SMALL) if kind == "folder" else "random"
    base = load_base("vitpose-b", weights)
    before = snapshot(base.model)
    report, printed = adapted(weights, sample, tmp_path / "out", capsys)
    check(report, printed, tmp_path / "out")
    assert "source AP (detector boxes)" in printed and "target AP (detector boxes)" in printed
    assert snapshot(load_base("vitpose-b", weights).model)["bytes"] == before["bytes"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "random"])
def test_the_command_of_the_mission_at_full_size(kind, sample, tmp_path, capsys):
    weights = saved_weights(tmp_path / "weights", ARCH["b"]) if kind == "folder" else "random"
    report, printed = adapted(weights, sample, tmp_path / "out", capsys, "--no-flip-test", "--train.batch-size", "2")
    check(report, printed, tmp_path / "out")
    # 6,747,921 with BLIP's 768-d states; a projection of MiniLM's comes on top where BLIP is not at hand
    assert report["adapter"]["parameters"] in (6_747_921, 7_043_601)


def test_without_coco_beside_the_report_says_what_to_give(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(ARCH, "b", SMALL)
    data = layouts.humanart(tmp_path / "data")
    report, printed = adapted("random", data, tmp_path / "out", capsys, "--no-flip-test")
    assert report["source"]["after_on"] is None and report["source_name"] is None
    assert "not measured: give --source-data" in report["reasons"]["source"]
    assert "not measured: give --source-data" in printed


def test_the_dry_run_says_method_and_settings(sample, capsys, monkeypatch):
    monkeypatch.setitem(ARCH, "b", SMALL)
    assert main(["adapt", "--base", "vitpose-b", "--weights", "random", "--domain", "humanart", "--data", str(sample),
                 "--dry-run"]) == 0  # fmt: skip
    found = capsys.readouterr().out
    for words in ("method: vlpose (the method of domain humanart", "settings: published (", "epochs: 210",
                  "batch_size: 512", "matcher.q.weight", "source: COCO val2017"):  # fmt: skip
        assert words in found, words
    assert main(["adapt", "--domain", "humanart", "--dry-run", "--method", "lora"]) == 0
    assert "method: lora (as the recipe says; vlpose is the method of domain humanart)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ([], "without its data"),
        (["--data", "nowhere"], "no folder at nowhere"),
        (["--data", "SAMPLE", "--source-data", "nowhere"], "no folder at nowhere"),
        (["--data", "SAMPLE", "--boxes", "nowhere.json"], "nowhere.json"),
        (["--data", "EMPTY"], "no annotation file"),
    ],
)
def test_missing_data_are_told_before_weights_are_loaded(given, part, sample, tmp_path, capsys, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("lvtune.api.job.load_base", refuse)
    (tmp_path / "empty" / "HumanArt").mkdir(parents=True)
    words = [{"SAMPLE": str(sample), "EMPTY": str(tmp_path / "empty")}.get(word, word) for word in given]
    out = ["--out", str(tmp_path / "out")]
    assert main(["adapt", "--base", "vitpose-b", "--domain", "humanart", *words, *out]) == 1
    error = capsys.readouterr().err
    assert part in error and "Traceback" not in error
    assert not (tmp_path / "out" / "report.json").exists()
