"""Labelled pictures first, then those without labels; what does not help leaves the first part's result to the bit."""

import pytest
import torch
from PIL import Image
from tiny import tiny_base

import lvtune
from lvtune.api import second_part, unlabelled_guard
from lvtune.api.recipe import Recipe
from lvtune.api.second_part import CHECKPOINT_2, first_minutes, second_steps
from lvtune.bases.base_registry import BASES
from lvtune.data.skeletons import LSP_14
from lvtune.training.loop import tune

CALM = {"confidence": 0.01, "agreement": 10.0, "ramp": 0, "rate": 1.0, "part": 0.5}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(
        BASES._entries, "vitpose-tiny-lsp", lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14)
    )


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for number in range(4):
        pixels = torch.randint(0, 255, (40, 30, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).resize((90, 120)).save(folder / f"{number}.png")
    return str(folder)


def run(folder, frames=None, **given):
    values = {"base": "vitpose-tiny-lsp", "domain": "demo-art", "method": "lora", "start": "none", "device": "cpu",
              "out": str(folder), "data": {"shots": 2, "limit": 8}, "train": {"steps": 4, "batch_size": 2},
              "evaluate": {"flip_test": False}}  # fmt: skip
    if frames:
        values |= {"unlabelled": frames, "objective_options": CALM}
    return lvtune.adapt(Recipe.from_dict(values | given)).to_dict()


def test_what_is_refused_leaves_the_very_adapter_of_the_labelled_pictures_alone(tmp_path, frames, monkeypatch):
    monkeypatch.setattr(unlabelled_guard, "is_better", lambda before, now: False)
    report = run(tmp_path / "both", frames)
    run(tmp_path / "labelled")
    assert report["unlabelled"]["share"] == 0 and report["curves"]["steps"] == [1, 2, 3, 4, 5, 6]
    told = {one["what"]: one["value"] for one in report["decisions"]}
    assert "2 steps" in told["second part"] and "labelled pictures alone" in told["guard without labels"]
    assert states(tmp_path / "both") == states(tmp_path / "labelled")


def states(folder):
    adapter = lvtune.load_adapter(folder, tiny_base(skeleton=LSP_14))
    return {name: value.tolist() for name, value in adapter.state_dict().items()}


def test_what_helps_is_kept_and_is_another_adapter(tmp_path, frames, monkeypatch):
    monkeypatch.setattr(unlabelled_guard, "is_better", lambda before, now: True)
    report = run(tmp_path / "both", frames)
    run(tmp_path / "labelled")
    assert report["unlabelled"]["share"] == 1 and report["unlabelled"]["seen"]["1"]["labelled"] > 0
    assert states(tmp_path / "both") != states(tmp_path / "labelled")


def test_killed_in_the_second_part_it_goes_on_to_the_same_result(tmp_path, frames, monkeypatch):
    monkeypatch.setattr(unlabelled_guard, "is_better", lambda before, now: True)
    often = {"train": {"steps": 4, "batch_size": 2, "checkpoint_every": 1}}
    run(tmp_path / "whole", frames, **often)

    def killed(*args, **given):
        tune(*args, **given)
        raise KeyboardInterrupt

    monkeypatch.setattr(second_part, "tune", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", frames, **often)
    assert (tmp_path / "cut" / CHECKPOINT_2).is_file()
    (tmp_path / "cut" / "checkpoint.safetensors").unlink()  # a short first part has none
    monkeypatch.setattr(second_part, "tune", tune)
    report = run(tmp_path / "cut", frames, resume=True, **often)
    assert states(tmp_path / "cut") == states(tmp_path / "whole") and not (tmp_path / "cut" / CHECKPOINT_2).exists()
    assert any("resumed at step 2 of 2" in note for note in report["notes"])


class _Config:
    part = 0.5


class _Second:
    config = _Config


class _Job:
    second = None


def test_how_long_each_part_is():
    job, options = _Job(), lvtune.Recipe().train
    assert second_steps(job, 100) == 0 and first_minutes(job, options) is options
    job.second = _Second
    assert [second_steps(job, first) for first in (1, 100)] == [1, 50]
    timed = Recipe.from_dict({"train": {"minutes": 10}}).train
    assert first_minutes(job, timed).minutes == 5 and first_minutes(job, options) is options
