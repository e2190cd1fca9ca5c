"""What was computed on other data is never taken for the run at hand; a run that diverges keeps its last good state."""

from __future__ import annotations

import json

import pytest
from attacks.commands import BASE, _register
from own_files import draw_pictures, mice, write

import lvtune
from lvtune.api import adapting
from lvtune.core.errors import LvtuneError, TrainingError
from lvtune.core.snapshot import snapshot
from lvtune.experiments.comparing import compare
from lvtune.storage.adapter_file import read
from lvtune.training import checkpoint
from lvtune.training.step_guard import NotFiniteError


@pytest.fixture
def shared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _register()
    (tmp_path / "pics").mkdir()
    data = mice(6)
    draw_pictures(data, tmp_path / "pics")
    write(data, tmp_path / "pics")
    return {
        "base": BASE, "method": "lora", "device": "cpu", "seed": 1, "base_options": {"input_size": "own"},
        "data": {"data": "pics", "annotations": "pics/annotations.json"},
        "train": {"epochs": 2, "batch_size": 4, "checkpoint_every": 1},
    }  # fmt: skip


def edit(tmp_path):
    """Moves one point in the file, in place."""
    file = tmp_path / "pics" / "annotations.json"
    data = json.loads(file.read_text())
    for annotation in data["annotations"]:
        annotation["keypoints"][0] = round(annotation["keypoints"][0] + 3, 2)
    file.write_text(json.dumps(data))


def test_a_finished_cell_on_other_data_is_refused(shared, tmp_path):
    options = {"methods": "lora", "seeds": (1,), "out": tmp_path / "out"}
    first = compare(shared, **options)
    again = {**shared, "data": {"data": "./pics/", "annotations": str(tmp_path / "pics/annotations.json")}}
    said = []
    assert compare(again, say=said.append, **options)["cells"] == first["cells"]
    assert not [line for line in said if line.startswith("cell ")]
    edit(tmp_path)
    for dry_run in (False, True):
        with pytest.raises(LvtuneError, match=r"other data to tune on than now|other test data than now"):
            compare(shared, dry_run=dry_run, **options)


def test_a_checkpoint_of_other_data_is_passed_over(shared, tmp_path, monkeypatch, caplog):
    out = tmp_path / "run"

    class Killed(BaseException):
        pass

    real = checkpoint.save_checkpoint

    def save_once(*args, **kwargs):
        real(*args, **kwargs)
        raise Killed

    monkeypatch.setattr("lvtune.training.loop.save_checkpoint", save_once)
    with pytest.raises(Killed):
        lvtune.adapt(shared | {"out": str(out)})
    assert (out / "checkpoint.safetensors").is_file()
    monkeypatch.setattr("lvtune.training.loop.save_checkpoint", real)
    edit(tmp_path)
    report = lvtune.adapt(shared | {"out": str(out)}).to_dict()
    assert "is of another run and is passed over" in caplog.text
    fresh = lvtune.adapt(shared | {"out": str(tmp_path / "fresh")}).to_dict()
    assert report["marks"] == fresh["marks"] and report["curves"]["loss"] == fresh["curves"]["loss"]
    assert read(out)[1]["tensors_sha256"] == read(tmp_path / "fresh")[1]["tensors_sha256"]


def test_the_last_good_state_is_kept_and_named(shared, tmp_path, monkeypatch):
    def diverges(base, adapter, *args, **options):
        raise NotFiniteError("a loss of nan at step 9", "a finite loss", "lower it", state=snapshot(adapter), step=8)

    monkeypatch.setattr(adapting, "tune", diverges)
    with pytest.raises(TrainingError, match="after step 8, whose loss was finite, is kept in") as caught:
        lvtune.adapt(shared | {"out": str(tmp_path / "run")})
    assert "last-good" in caught.value.fix
    assert read(tmp_path / "run" / "last-good")[1]["training"]["steps"] == 8
