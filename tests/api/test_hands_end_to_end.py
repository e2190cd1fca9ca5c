"""Hands end to end: adapt, evaluate and predict on rendered figures, with a tiny base."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_hands import tiny_hand_base

import lvtune
from lvtune.bases.base_registry import BASES
from lvtune.cli.main import main
from lvtune.config.options import DataOptions
from lvtune.data.hand_space import HandSpace
from lvtune.domains import get_domain
from lvtune.viz.report_page import render

SAMPLES = Path(__file__).parents[1] / "samples"

METRICS = {"auc@50", "epe", "epe_procrustes", "auc@50_procrustes", "f@5", "f@15"}


@pytest.fixture(scope="module", autouse=True)
def tiny_base_by_name():
    BASES.register("hand-tiny")(lambda weights, revision=None, seed=0: tiny_hand_base())
    yield
    BASES._entries.pop("hand-tiny")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    out = tmp_path_factory.mktemp("hands")
    given = "adapt --base hand-tiny --domain hand-figures --method lora --steps 3 --train.batch-size 4 --limit 6"
    assert main([*given.split(), "--objective", "hand", "--objective.heat", "5", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    file = tmp_path_factory.mktemp("pictures") / "hand.png"
    image = get_domain("hand-figures").open("test", DataOptions(limit=1)).picture(0)
    cv2.imwrite(str(file), image[..., ::-1])
    return file


def test_the_report_tells_of_hands(adapted):
    report = json.loads((adapted / "report.json").read_text())
    assert report["main"] == "auc@50"
    assert report["target_name"].startswith("rendered hand figures, wild")
    assert report["source_name"].startswith("rendered hand figures, green_screen")
    for side in ("target", "source"):
        assert all(set(report[side][when]) >= METRICS for when in ("before", "after_on", "after_off"))
        assert report[side]["before"] == report[side]["after_off"] != report[side]["after_on"]
    assert len(report["target"]["per_joint"]["before"]) == 21
    assert report["source_off_identical"] is True
    assert report["recipe"]["objective"] == "hand" and report["recipe"]["objective_options"] == {"heat": 5.0}
    kept = report["source"]["after_on"]["auc@50"] / report["source"]["before"]["auc@50"]
    assert report["retention"]["on"] == pytest.approx(kept)


def test_the_report_shows_photographs_that_one_asks_to_see(tmp_path, capsys):
    given = ["adapt", "--base", "hand-tiny", "--domain", "hand-figures", "--method", "lora", "--steps", "1"]
    given += ["--limit", "2", "--objective", "hand"]
    photograph = SAMPLES / "freihand_2d" / "00000355.jpg"
    out = tmp_path / "out"
    look = ["--look", str(photograph), "--look", str(SAMPLES / "rhd_coco_style")]
    assert main([*given, *look, "--out", str(out)]) == 0
    section = (out / "report.html").read_text().partition("<h2>Pictures asked for</h2>")[2].partition("</section>")[0]
    for name in ("00000355.jpg", "00111.png", "11111.png"):
        assert f'alt="{name}, base alone"' in section and f'alt="{name}, adapter on"' in section
    assert section.count("<img") == 6
    assert "Pictures asked for" not in render(json.loads((out / "report.json").read_text()))
    capsys.readouterr()
    assert main([*given, "--look", str(tmp_path / "gone.jpg"), "--out", str(tmp_path / "none")]) == 1
    assert "gone.jpg" in capsys.readouterr().err.splitlines()[-1] and not (tmp_path / "none").exists()


def test_the_next_command_names_the_weights(tmp_path, capsys):
    given = "adapt --base hand-tiny --weights mine.safetensors --domain hand-figures --method lora --steps 0 --limit 2"
    assert main([*given.split(), "--out", str(tmp_path / "o")]) == 0
    assert "--base hand-tiny --weights mine.safetensors --adapter" in capsys.readouterr().out


def test_page_and_card_name_the_errors_and_say_that_figures_are_rendered(adapted):
    page, card = (adapted / "report.html").read_text(), (adapted / "README.md").read_text()
    for text in (page, card):
        assert "EPE (mm)" in text and "AUC 0-50 mm" in text and "rendered hand figures" in text
        assert "PCK@0.2" not in text
        assert "not photographs" in text
    assert "Key points: EPE in mm" in page


def test_an_adapter_of_hands_is_evaluated_afresh(adapted, capsys):
    given = ["evaluate", "--adapter", str(adapted), "--limit", "6"]
    assert main([*given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    report = json.loads((adapted / "report.json").read_text())
    for name in METRICS:
        assert found["target"][name] == pytest.approx(report["target"]["after_on"][name], abs=1e-4)
    assert found["target"]["hands"] == 6 and found["main"] == "auc@50"
    assert main(given) == 0
    out = capsys.readouterr().out
    assert "EPE (mm)" in out and "forefinger1" in out and "EPE in mm" in out


def test_joints_are_told_in_bones_in_millimetres_and_from_the_camera(adapted, picture):
    ask = lambda **space: lvtune.predict(picture, base="hand-tiny", adapter=adapted, space=HandSpace(**space))[0]  # noqa: E731
    plain, sized, placed = ask(), ask(bone=40.0), ask(bone=40.0, focal=300.0)
    assert plain.xyz.shape == (21, 3) and "bone" in plain.unit
    np.testing.assert_allclose(sized.xyz, 40 * plain.xyz, rtol=1e-5)
    assert sized.unit == "mm, from the root" and placed.unit == "mm, from the camera"
    shift = placed.xyz - sized.xyz
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:1], shift.shape), atol=1e-2)
    assert [set(point) for point in plain.to_dict()["keypoints"]] == [{"name", "x", "y", "score", "xyz"}] * 21


def test_a_left_hand_is_the_mirror_image_of_a_right_one(adapted, picture, tmp_path):
    mirrored = tmp_path / "mirrored.png"
    image = cv2.imread(str(picture))
    cv2.imwrite(str(mirrored), image[:, ::-1])
    right = lvtune.predict(picture, base="hand-tiny", adapter=adapted)[0]
    left = lvtune.predict(mirrored, base="hand-tiny", adapter=adapted, space=HandSpace(side="left"))[0]
    np.testing.assert_allclose(left.xyz, right.xyz * [-1, 1, 1], atol=1e-4)
    # about the middle of the crop, in the codec's measure of W / (W - 1) pixels; resampling is not quite symmetric
    expected = np.column_stack([image.shape[1] - right.keypoints[:, 0], right.keypoints[:, 1]])
    assert np.median(np.abs(left.keypoints - expected)) < 0.1


def test_predict_writes_the_overlay_and_the_plot(adapted, picture, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["predict", str(picture), "--adapter", str(adapted), "--out", str(out), "--bone", "44"]) == 0
    drawn = cv2.imread(str(out / "hand.png"))
    assert drawn.shape == (420, 840, 3)
    (pose,) = json.loads((out / "poses.json").read_text())
    assert pose["unit"] == "mm, from the root" and len(pose["keypoints"][5]["xyz"]) == 3
    assert main(["predict", str(picture), "--adapter", str(adapted), "--focal", "300"]) == 2
    assert "--bone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--base hand-tiny --domain demo-art", "21 joints"),
        ("--base vitpose-ti --domain hand-figures --weights random", "hand3d-vit"),
        ("--base hand3d --domain hand-figures", "--config hand3d"),
        ("--base hand-tiny --domain hand-figures --objective hnd", "did you mean 'hand'"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_tuned(given, told, tmp_path, capsys):
    tried = ["adapt", *given.split(), "--method", "lora", "--limit", "4", "--steps", "1"]
    assert main([*tried, "--out", str(tmp_path / "o")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error:") and told in error
