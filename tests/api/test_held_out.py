"""A person sees the held-out frames while a run goes on: one sheet, in the run's folder, that decides nothing."""

import cv2
import pytest
import torch
from safetensors.torch import load_file
from test_own_defaults import MOUSE, own_data
from tiny import tiny_base

import lvtune
from lvtune.api import held_out
from lvtune.api.held_out import PROGRESS_FILE
from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import BASES
from lvtune.core.errors import UsageError
from lvtune.data.skeletons import LSP_14


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(
        BASES._entries, "vitpose-tiny", lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14)
    )


def adapted(tmp_path, name="out", **train):
    data = tmp_path / "own"
    values = own_data(data, MOUSE, 175.0) if not data.exists() else {
        "data": str(data), "annotations": str(data / "mine.json")}  # fmt: skip
    recipe = Recipe.from_dict({
        "base": "vitpose-tiny", "method": "lora", "device": "cpu", "data": values, "out": str(tmp_path / name),
        "train": {"steps": 10, "batch_size": 4, **train},
    })  # fmt: skip
    return lvtune.adapt(recipe)


def test_the_sheet_is_in_the_folder_and_the_report_links_it(tmp_path, capsys):
    report = adapted(tmp_path)
    sheet = cv2.imread(str(tmp_path / "out" / PROGRESS_FILE))
    # five moments (steps 1, 2, 5, 8, 10), two held-out frames
    assert sheet.shape[0] > 5 * 200 and 2 * 240 < sheet.shape[1] < 3 * 240
    assert report.values["progress"] == PROGRESS_FILE
    assert f'<a href="{PROGRESS_FILE}">' in (tmp_path / "out/report.html").read_text()
    said = capsys.readouterr().err
    assert said.count("held-out frames: ") == 5 and f"drawn in {tmp_path / 'out' / PROGRESS_FILE}" in said
    assert len(report.values["curves"]["px_steps"]) == 5
    assert not list((tmp_path / "out").glob("*.tmp")) and not list((tmp_path / "out").glob(".*"))


def test_it_can_be_switched_off_and_decides_nothing(tmp_path):
    adapted(tmp_path)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / PROGRESS_FILE).write_bytes(b"of an earlier run")
    report = adapted(tmp_path, "plain", progress_frames=0)
    assert report.values["progress"] is None and not (tmp_path / "plain" / PROGRESS_FILE).exists()
    assert PROGRESS_FILE not in (tmp_path / "plain/report.html").read_text()
    files = [tmp_path / name / "adapter_model.safetensors" for name in ("out", "plain")]
    one, other = (load_file(file) for file in files)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_is_not_lost_for_a_picture(tmp_path, monkeypatch, capsys):
    def full(path, data):
        raise UsageError("a full disk", "room", "make some")

    monkeypatch.setattr(held_out, "write_atomically", full)
    report = adapted(tmp_path)
    assert report.values["progress"] is None and "no progress.png: a full disk" in capsys.readouterr().err


def test_a_built_in_domain_has_none(tmp_path):
    recipe = Recipe.from_dict({
        "base": "vitpose-tiny", "method": "lora", "device": "cpu", "out": str(tmp_path / "out"),
        "train": {"steps": 2, "batch_size": 4}, "data": {"limit": 8},
    })  # fmt: skip
    assert lvtune.adapt(recipe).values["progress"] is None and not (tmp_path / "out" / PROGRESS_FILE).exists()
