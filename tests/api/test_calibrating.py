"""From the adapter's file to the files of predict and evaluate: probabilities, radii, expected OKS."""

import json
import shutil

import numpy as np
import pytest
from own_files import draw_pictures, write

import lvtune
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.core.errors import AdapterFileError, UsageError
from lvtune.core.strict_json import canonical_json
from lvtune.core.tensor_file import metadata_of, pack, unpack
from lvtune.domains.demo_art import FOLDER
from lvtune.evaluation.calibration import calibration_of
from lvtune.storage.adapter_config import CONFIG_HASH, config_hash
from lvtune.storage.adapter_file import CONFIG_FILE, HEADER_KEY, TENSORS_FILE, read_config

PICTURES = sorted((FOLDER / "images").glob("*.jpg"))[:3]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    said = []
    recipe = {
        "method": "bitfit", "start": "none", "calibrate": "keep-out", "out": str(out), "device": "cpu",
        "data": {"limit": 80}, "evaluate": {"flip_test": True}, "train": {"steps": 1, "batch_size": 4},
    }  # fmt: skip
    values = lvtune.adapt(Recipe.from_dict(recipe), say=said.append).to_dict()
    return out, values, said


def test_the_run_says_on_what_it_was_fitted_and_how_good_it_is(run):
    out, values, said = run
    assert any(line.startswith("calibration: ") and "15 pictures" in line for line in said)
    assert any(line.startswith("kept out: 15 of 80 pictures") for line in said)
    found = values["calibration"]
    assert found["ece"] < found["ece_raw"] and 70 < found["in_radius"] < 100
    assert found["ap_raw"] == values["target"]["after_on"]["ap"]
    assert json.loads((out / "report.json").read_text())["calibration"] == found
    assert 0 < found["left_out"]["ece"] < found["left_out"]["ece_raw"]
    assert any(f"ECE {found['left_out']['ece']:.1f}% where each fifth" in line for line in said)
    assert read_config(out)["calibration"]["pictures"] == 15


def test_predict_gives_probability_raw_score_and_radius(run, tmp_path):
    out, _, _ = run
    poses = lvtune.predict(PICTURES, adapter=str(out), out=str(tmp_path / "p"))
    plain_ones = lvtune.predict(PICTURES, adapter=str(out), calibration="none")
    for pose, plain in zip(poses, plain_ones, strict=True):
        assert np.array_equal(pose.raw_scores, plain.scores)
        assert plain.raw_scores is None and plain.radii is None and "raw_score" not in plain.to_dict()["keypoints"][0]
        assert ((pose.scores > 0) & (pose.scores < 1)).all() and (pose.radii > 0).all()
        assert 0 < pose.expected_oks < 1 and not np.allclose(pose.scores, pose.raw_scores)
        assert set(pose.to_dict()["keypoints"][0]) == {"name", "x", "y", "score", "raw_score", "radius"}
    results = json.loads((tmp_path / "p" / "results.coco.json").read_text())
    assert [one["score"] for one in results] == pytest.approx([pose.expected_oks for pose in poses])


def test_an_adapter_without_a_calibration_predicts_as_before(run, tmp_path):
    out, _, _ = run
    base = lvtune.load_base("vitpose-ti")
    adapter = lvtune.load_adapter(out, base)
    with_it = lvtune.predict(PICTURES, base=base, adapter=adapter)
    adapter.saved_with = {key: value for key, value in adapter.saved_with.items() if key != "calibration"}
    lvtune.save_adapter(adapter, tmp_path / "old", base)
    assert "calibration" not in read_config(tmp_path / "old")
    without = lvtune.predict(PICTURES, base=base, adapter=str(tmp_path / "old"))
    for one, other in zip(with_it, without, strict=True):
        assert np.array_equal(one.raw_scores, other.scores) and np.array_equal(one.keypoints, other.keypoints)
        assert other.expected_oks is None


def test_a_calibration_is_kept_when_the_adapter_is_saved_again(run, tmp_path):
    base = lvtune.load_base("vitpose-ti")
    adapter = lvtune.load_adapter(run[0], base)
    lvtune.save_adapter(adapter, tmp_path / "copy", base)
    assert calibration_of(lvtune.load_adapter(tmp_path / "copy", base)) == calibration_of(adapter)


def test_unsure_points_are_left_out_in_every_file(run, tmp_path, capsys):
    out, _, _ = run
    least = round(float(np.median(lvtune.predict(PICTURES[:1], adapter=str(out))[0].scores)), 3)
    given = ["predict", str(PICTURES[0]), "--adapter", str(out), "--out", str(tmp_path), "--min-score", str(least)]
    assert main([*given, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    points = values["poses"][0]["keypoints"]
    left = [point for point in points if point["score"] < least]
    assert 0 < len(left) < len(points) and all(point["x"] is None and point["y"] is None for point in left)
    assert any(f"{len(left)} key points with a score below {least:g}" in note for note in values["notes"])
    coco = json.loads((tmp_path / "results.coco.json").read_text())[0]["keypoints"]
    assert sum(value == 0 for value in coco[2::3]) == len(left)
    rows = (tmp_path / "poses.csv").read_text().splitlines()
    assert rows[1].count(",,") >= len(left) and "nan" not in rows[1]


@pytest.mark.parametrize("least", [-0.1, 1.5, float("nan")])
def test_a_smallest_score_that_is_no_probability_is_refused(least):
    with pytest.raises(UsageError, match="min_score"):
        lvtune.predict(PICTURES, min_score=least)


def test_evaluate_prints_the_error_and_draws_the_plot(run, tmp_path, capsys):
    out, _, _ = run
    given = ["evaluate", "--adapter", str(out), "--limit", "30", "--out", str(tmp_path / "e")]
    assert main(given) == 0
    assert "confidence: ECE" in capsys.readouterr().out
    assert (tmp_path / "e" / "reliability.png").read_bytes()[1:4] == b"PNG"
    given = ["evaluate", "--adapter", str(out), "--limit", "10", "--calibration", "none"]
    assert main([*given, "--out", str(tmp_path / "raw")]) == 0
    assert "confidence: ECE" not in capsys.readouterr().out and not (tmp_path / "raw" / "reliability.png").exists()


@pytest.mark.parametrize("change", ["missing", "not monotone", "other points", "huge"])
def test_a_damaged_calibration_is_refused(run, tmp_path, change):
    folder = tmp_path / "bad"
    shutil.copytree(run[0], folder)
    file = folder / TENSORS_FILE
    config = json.loads(metadata_of(file)[HEADER_KEY])
    plain = config["calibration"]["maps"]["plain"]
    if change == "missing":
        del plain["oks"]
    elif change == "not monotone":
        plain["hit"]["weights"][0] = -1.0
    elif change == "other points":
        config["calibration"]["keypoints"][0] = "tail"
    else:
        plain["hit"]["offsets"] = plain["hit"]["offsets"] * 10_000
    config[CONFIG_HASH] = config_hash(config)
    file.write_bytes(pack(unpack(file).tensors, {HEADER_KEY: canonical_json(config, "x"), "format": "pt"}))
    (folder / CONFIG_FILE).unlink()
    with pytest.raises(AdapterFileError, match="calibration"):
        read_config(folder)


def own(folder, count, points=4):
    """``count`` pictures with one animal each."""
    from own_files import mice

    data = mice(count)
    draw_pictures(data, folder)
    return {"data": str(folder), "annotations": str(write(data, folder))}


def test_own_data_is_judged_in_pixels_and_too_few_pictures_give_none(tmp_path):
    recipe = {"base": "timm:resnet10t", "weights": "random", "method": "head", "train": {"steps": 1, "batch_size": 2},
              "evaluate": {"flip_test": False}, "device": "cpu", "calibrate": "keep-out", "gate": False}  # fmt: skip
    (tmp_path / "many").mkdir()
    data = own(tmp_path / "many", 90)
    values = lvtune.adapt(Recipe.from_dict({**recipe, "data": data, "out": str(tmp_path / "a")})).to_dict()
    assert values["calibration"]["within"].endswith(" px")
    lvtune.adapt(Recipe.from_dict({**recipe, "data": data, "out": str(tmp_path / "b"), "calibrate_px": 7.5}))
    assert read_config(tmp_path / "b")["calibration"]["pixels"] == 7.5
    (tmp_path / "few").mkdir()
    few = {**recipe, "data": own(tmp_path / "few", 20), "out": str(tmp_path / "c")}
    values = lvtune.adapt(Recipe.from_dict(few)).to_dict()
    assert values["calibration"] is None
    decision = next(one for one in values["decisions"] if one["what"] == "calibration")
    assert decision["value"] == "none" and "too few" in decision["why"]
