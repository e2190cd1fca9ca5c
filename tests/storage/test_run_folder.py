"""A run's files change together: no adapter beside another run's report."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from adapter_samples import adapter

from lvtune.storage.adapter_file import read, save
from lvtune.storage.run_folder import swapped_in


def run(folder, value, *, peft=None, picture=False):
    with swapped_in(folder) as place:
        save(*adapter(value), place, peft_config=peft)
        (place / "report.json").write_text(json.dumps({"value": value}))
        (place / "README.md").write_text(str(value))
        if picture:
            (place / "before-after.jpg").write_bytes(b"jpg")


def is_of_one_run(folder):
    """The report, if any, is that of the adapter."""
    value = float(read(folder)[0]["a"][0])
    report, card = folder / "report.json", folder / "README.md"
    if report.exists():
        assert json.loads(report.read_text()) == {"value": value}
    if card.exists():
        assert card.read_text() == str(value)
    return value


def names(folder):
    return {file.name for file in folder.iterdir()}


def test_what_an_earlier_run_left_goes_and_other_files_stay(tmp_path):
    run(tmp_path, 1.0, peft={"peft_type": "LORA"}, picture=True)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "report.html").write_text("old")
    run(tmp_path, 2.0)
    assert is_of_one_run(tmp_path) == 2.0
    assert names(tmp_path) == {"adapter_model.safetensors", "lvtune_config.json", "report.json", "README.md",
                               "notes.txt"}  # fmt: skip


def test_an_error_leaves_all_as_it_was(tmp_path):
    run(tmp_path, 1.0, picture=True)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ZeroDivisionError), swapped_in(tmp_path) as place:
        save(*adapter(2.0), place)
        raise ZeroDivisionError
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_stopped_before_every_single_step(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def attempt(allowed):
        folder = tmp_path / str(allowed)
        folder.mkdir()
        run(folder, 1.0, picture=True)
        left = allowed

        def limited(real):
            def call(*args, **kwargs):
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                return real(*args, **kwargs)

            return call

        finished = False
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", limited(os.replace))
            patch.setattr(Path, "unlink", limited(Path.unlink))
            patch.setattr("shutil.rmtree", lambda *args, **kwargs: None)
            try:
                run(folder, 2.0)
                finished = True
            except Killed:
                pass
        return finished, is_of_one_run(folder), folder

    values, allowed, finished = [], 0, False
    while not finished:
        finished, value, folder = attempt(allowed)
        values.append(value)
        allowed += 1
    assert values == sorted(values) and (values[0], values[-1]) == (1.0, 2.0)
    run(folder, 3.0)
    assert is_of_one_run(folder) == 3.0
    assert not [name for name in names(folder) if name.startswith(".lvtune-run-")], "what killed runs left is gone"
