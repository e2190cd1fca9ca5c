"""A base alone gives probabilities: with the file that ships, with another, and where a gate falls back to it."""

import json

import numpy as np
import pytest

import lvtune
from lvtune.cli.main import main
from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError, UsageError
from lvtune.domains.demo_art import FOLDER
from lvtune.patcher.gate import Gate

PICTURES = sorted((FOLDER / "images").glob("*.jpg"))[:3]


def test_predict_without_an_adapter_gives_probability_raw_score_and_radius(tmp_path):
    poses = lvtune.predict(PICTURES, out=str(tmp_path))
    raw = lvtune.predict(PICTURES, calibration="none")
    for pose, plain in zip(poses, raw, strict=True):
        assert np.array_equal(pose.raw_scores, plain.scores) and np.array_equal(pose.keypoints, plain.keypoints)
        assert ((pose.scores > 0) & (pose.scores < 1)).all() and (pose.radii > 0).all() and 0 < pose.expected_oks < 1
        assert plain.raw_scores is None and plain.radii is None and plain.expected_oks is None
        order = np.argsort(pose.raw_scores)
        assert np.corrcoef(pose.scores[order], pose.raw_scores[order])[0, 1] > 0.8
    point = json.loads((tmp_path / "poses.json").read_text())
    assert "raw_score" in json.dumps(point) and "radius" in json.dumps(point)
    assert any("probability" in note and "vitpose-ti" in note and "--calibration none" in note for note in poses.notes)
    assert not any("probability" in note for note in raw.notes)


def test_the_smallest_score_is_a_probability_of_the_base_alone_too(capsys, tmp_path):
    scores = lvtune.predict(PICTURES[:1])[0].scores
    least = round(float(np.median(scores)), 3)
    given = ["predict", str(PICTURES[0]), "--out", str(tmp_path), "--min-score", str(least), "--json"]
    assert main(given) == 0
    points = json.loads(capsys.readouterr().out)["poses"][0]["keypoints"]
    assert sum(point["x"] is None for point in points) == int((scores < least).sum()) > 0


def test_without_a_calibration_the_smallest_score_is_said_to_be_a_maximum():
    notes = lvtune.predict(PICTURES[:1], calibration="none", min_score=0.3).notes
    assert any("maximum" in note and "vitpose-ti" in note for note in notes)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    file = tmp_path_factory.mktemp("calibration") / "own.json"
    values = lvtune.evaluate(data=DataOptions(limit=24), save_calibration=file)
    return file, values


def test_evaluate_fits_a_file_and_says_how_good_it_is_on_pictures_left_out(written):
    file, values = written
    found = values["calibration"]
    assert found["fitted_here"] and found["points"] > 100 and found["ece"] < found["ece_raw"] + 5
    assert any(str(file) in note and "24 pictures" in note for note in values["notes"])
    assert json.loads(file.read_text())["base"]["name"] == "vitpose-ti"
    assert str(file.parent) not in file.read_text()  # it is to be shared


def test_the_file_is_used_where_it_is_named(written, capsys, tmp_path):
    own = lvtune.predict(PICTURES[:1], calibration=written[0])[0]
    shipped = lvtune.predict(PICTURES[:1])[0]
    assert np.array_equal(own.raw_scores, shipped.raw_scores) and not np.allclose(own.scores, shipped.scores, atol=0.01)
    assert main(["evaluate", "--limit", "12", "--calibration", str(written[0]), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "confidence: ECE" in printed and "fitted on 24 pictures" in printed
    assert (tmp_path / "reliability.png").is_file()
    assert main(["evaluate", "--limit", "12", "--calibration", "none"]) == 0
    assert "confidence: ECE" not in capsys.readouterr().out


def test_the_command_says_where_each_fifth_was_left_out(capsys, tmp_path):
    assert main(["evaluate", "--limit", "12", "--save-calibration", str(tmp_path / "a.json"), "--no-flip-test"]) == 0
    printed = capsys.readouterr().out
    assert "each fifth of the pictures" in printed and "written to" in printed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"save_calibration": "a.txt"}, "ends in .json"),
        ({"save_calibration": "a.json", "calibration": "none"}, "one of them"),
        ({"save_calibration": "a.json", "adapter": "some"}, "the base alone"),
        ({"calibration": "no-such.json"}, "does not exist"),
    ],
)
def test_what_does_not_go_together_is_told_before_any_work(options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, DataError), match=said):
        lvtune.evaluate(data=DataOptions(limit=24), **options)
    assert not list(tmp_path.iterdir())


def test_too_few_pictures_are_told(tmp_path):
    with pytest.raises(DataError, match="9 pictures"):
        lvtune.evaluate(data=DataOptions(limit=9), save_calibration=tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_a_picture_that_the_gate_gives_to_the_base_has_the_bases_probabilities(tmp_path):
    recipe = {
        "method": "bitfit", "start": "none", "calibrate": "none", "out": str(tmp_path / "out"), "device": "cpu",
        "data": {"limit": 40}, "evaluate": {"flip_test": False}, "train": {"steps": 1, "batch_size": 4},
    }  # fmt: skip
    lvtune.adapt(recipe)
    poses = lvtune.predict(PICTURES, adapter={"mine": str(tmp_path / "out")}, route=Gate(1.0))  # never sure enough
    bare = lvtune.predict(PICTURES)
    assert [pose.adapter for pose in poses] == [None] * len(PICTURES)
    for pose, plain in zip(poses, bare, strict=True):
        assert np.allclose(pose.scores, plain.scores, atol=1e-5) and pose.radii is not None
    mixed = lvtune.predict(PICTURES[:1], adapter={"mine": str(tmp_path / "out")}, route="mine", min_score=0.1)
    assert mixed[0].raw_scores is None and any("maximum" in note and "mine" in note for note in mixed.notes)
