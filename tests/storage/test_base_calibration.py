"""A base's calibration is used for its own weights and its own input size, and for nothing else."""

import json

import pytest
import tiny
import torch

import lvtune
from lvtune.core.errors import DataError, LvtuneError, UsageError
from lvtune.evaluation.calibration import Calibration, CalibrationMap, Logistic
from lvtune.storage.base_calibration import (
    FOLDER,
    SUFFIX,
    base_calibration,
    calibration_for,
    save_base_calibration,
)

SHIPPED = FOLDER / f"vitpose-ti{SUFFIX}"


def made(keypoints):
    """A calibration of some key points."""
    count = len(keypoints)
    hit = Logistic(-2.0, (4.0, -0.5), (0.0,) * count)
    one = CalibrationMap(hit, hit, (-2.0, -0.5), (-3.0, 3.0))
    return Calibration(tuple(keypoints), one, one, "PCK@0.2 of the torso", None, 20, 200, "some pictures")


@pytest.fixture(scope="module")
def base():
    return lvtune.load_base("vitpose-ti")


def test_the_one_that_ships_is_for_the_weights_that_ship(base):
    found = base_calibration(base)
    assert found is not None and found.keypoints == base.skeleton.keypoints
    assert found.pictures == 200 and "validation" in found.data and found.pixels is None


def test_the_one_that_ships_is_for_the_same_weights_in_half_precision():
    half = lvtune.load_base("vitpose-ti")
    half.model.to(torch.bfloat16)
    assert base_calibration(half) == base_calibration(lvtune.load_base("vitpose-ti"))


@pytest.mark.parametrize("other", ["weights", "input size", "one number", "key points"])
def test_other_weights_or_another_input_size_have_none(other):
    if other == "key points":
        view = tiny.tiny_base()
    else:
        size = (256, 192) if other == "input size" else None
        view = lvtune.load_base("vitpose-ti", "random" if other == "weights" else "pretrained", input_size=size)
    if other == "one number":
        with torch.no_grad():
            next(view.model.parameters()).view(-1)[0] += 1
    assert base_calibration(view) is None
    with pytest.raises(UsageError, match="which is for"):
        base_calibration(view, SHIPPED)


def test_a_file_gives_back_what_was_written_and_is_for_its_base_alone(tmp_path):
    one, other = tiny.tiny_base(seed=0), tiny.tiny_base(seed=1)
    written = made(one.skeleton.keypoints)
    file = save_base_calibration(written, one, tmp_path / "one.json")
    assert base_calibration(one, file) == written and base_calibration(one, str(file)) == written
    assert base_calibration(one) is None  # nobody named the file
    with pytest.raises(UsageError, match="other weights"):
        base_calibration(other, file)


def test_none_is_none_and_an_adapter_takes_no_file_of_a_base(base, tmp_path):
    assert base_calibration(base, "none") is None and calibration_for(base, None, "none") is None
    adapter = lvtune.create_adapter("bitfit", base)
    assert calibration_for(base, adapter) is None
    adapter.saved_with = {"calibration": made(base.skeleton.keypoints).to_dict()}
    assert calibration_for(base, adapter) == made(base.skeleton.keypoints)
    assert calibration_for(base, adapter, "none") is None
    with pytest.raises(UsageError, match="with an adapter"):
        calibration_for(base, adapter, SHIPPED)


@pytest.mark.parametrize(
    "fault", ["nothing", "no JSON", "a list", "version", "no base", "sizes", "not monotone", "huge"]
)
def test_a_damaged_file_is_told(base, tmp_path, fault):
    file = tmp_path / "bad.json"
    values = json.loads(SHIPPED.read_text())
    if fault == "version":
        values["format_version"] = 2
    elif fault == "no base":
        del values["base"]["fingerprint"]
    elif fault == "sizes":
        values["base"]["input_size"] = ["128", 96]
    elif fault == "not monotone":
        values["calibration"]["maps"]["mirrored"]["hit"]["weights"][0] = -1
    elif fault == "huge":
        values["calibration"]["maps"]["plain"]["radius"] = [1000, -1]
    text = {"nothing": None, "no JSON": "{", "a list": "[]"}.get(fault, json.dumps(values))
    if text is not None:
        file.write_text(text)
    with pytest.raises(LvtuneError) as told:
        base_calibration(base, file)
    assert isinstance(told.value, DataError)
    assert ("does not exist" if fault == "nothing" else "save-calibration") in str(told.value)
