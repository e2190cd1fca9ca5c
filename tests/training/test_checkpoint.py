"""Checkpoints: whole or named as damaged and set aside; never used in part, never a raw error."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from mutants import changed_values, mutants
from torch import nn

from lvtune.core.errors import TrainingError
from lvtune.core.tensor_file import pack, unpack
from lvtune.training import checkpoint
from lvtune.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from lvtune.training.loop import History

RECORD = vars(History())


def made(seed=0, width=4):
    torch.manual_seed(seed)
    adapter = nn.Linear(3, width)
    optimizer = torch.optim.AdamW(adapter.parameters())
    adapter(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    return adapter, optimizer


def history(steps=2):
    record = {"steps": list(range(1, steps + 1)), "loss": [0.5] * steps, "val_steps": [2], "val": [1.0]}
    return asdict(History(**record, seconds=3.0, lr=1e-3))


@pytest.fixture
def file(tmp_path):
    adapter, optimizer = made()
    average = {name: value + 1 for name, value in adapter.state_dict().items()}
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, adapter, optimizer, average, progress=Progress(1, 2, history=history()), key="a")
    return path


def state_of(adapter, optimizer):
    return {
        **{name: value.clone() for name, value in adapter.state_dict().items()},
        **{f"{i}.{n}": v.clone() for i, s in optimizer.state_dict()["state"].items() for n, v in s.items()},
    }


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def refused(file, **options):
    adapter, optimizer = made(1)
    before = state_of(adapter, optimizer)
    with pytest.raises(TrainingError) as caught:
        load_checkpoint(file, adapter, optimizer, "a", record=RECORD, **options)
    assert same(state_of(adapter, optimizer), before), "nothing of it was taken over"
    aside = file.with_name("run.safetensors.damaged")
    assert aside.is_file() and not file.exists()
    assert str(aside) in caught.value.given and "type the same command again" in caught.value.fix
    return str(caught.value)


def rewrite(file, change):
    """Changes the progress as somebody would who also mends the checksum."""
    packed = unpack(file)
    values = change(json.loads(packed.metadata["progress"]))
    meta = {**packed.metadata, "progress": json.dumps(values)}
    meta["sha256"] = checkpoint._hash(packed.tensors, meta)
    file.write_bytes(pack(packed.tensors, meta))


def test_all_of_it_comes_back(file):
    adapter, optimizer = made(1)
    progress, average = load_checkpoint(file, adapter, optimizer, "a", steps=2, record=RECORD)
    expected = made()
    assert same(state_of(adapter, optimizer), state_of(*expected))
    assert same(average, {name: value + 1 for name, value in expected[0].state_dict().items()})
    assert (progress.epoch, progress.step, History(**progress.history).loss) == (1, 2, [0.5, 0.5])


def test_none_and_that_of_another_run(file, tmp_path, caplog):
    assert load_checkpoint(tmp_path / "none", *made(), "a") is None
    assert load_checkpoint(file, *made(), "b") is None
    assert "is of another run and is passed over" in caplog.text
    assert file.is_file()


def test_every_flipped_bit_is_noticed(file):
    whole = file.read_bytes()
    for position in range(8, len(whole), 5):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        refused(file)


def test_progress_that_cannot_be(file):
    whole = file.read_bytes()
    for values in (
        {"step": 10**9}, {"step": 3}, {"epoch": -1}, {"step": True}, {"step": "2"}, {"total": "9"}, {"history": {}},
        {"history": []},
        {"history": {"steps": 5}}, {"history": {"steps": [1, "2"]}}, {"history": {"other": [1]}}, {"more": 1},
        {"history": history(10**5), "step": 10**5},
    ):  # fmt: skip
        file.write_bytes(whole)
        rewrite(file, lambda progress, values=values: {**progress, **values})
        refused(file, steps=100)


def test_tensors_of_another_run(file):
    adapter, optimizer = made(width=5)
    with pytest.raises(TrainingError, match="its weights are not those of this run"):
        load_checkpoint(file, adapter, optimizer, "a", record=RECORD)


def test_trained_along(tmp_path):
    adapter, optimizer = made()
    path = tmp_path / "run.safetensors"
    beside = nn.Linear(2, 2)
    save_checkpoint(path, adapter, optimizer, None, progress=Progress(), key="a", trained=beside)
    other = nn.Linear(2, 2)
    assert load_checkpoint(path, adapter, optimizer, "a", other) == (Progress(), None)
    assert torch.equal(other.weight, beside.weight)
    with pytest.raises(TrainingError, match="weights of the objective are not those"):
        load_checkpoint(path, adapter, optimizer, "a")


def test_only_errors_of_ours_come_out(file):
    whole = file.read_bytes()
    for mutant in mutants(whole, 200, seed=0):
        file.write_bytes(mutant)
        if mutant != whole:
            refused(file)
    for values in changed_values({"epoch": 1, "step": 2, "total": None, "history": history()}, 100, seed=1):
        file.write_bytes(whole)
        rewrite(file, lambda _, values=values: values)
        adapter, optimizer = made(1)
        try:
            progress, _ = load_checkpoint(file, adapter, optimizer, "a", steps=2, record=RECORD)
        except TrainingError:
            continue
        assert progress.step <= 2
        History(**progress.history)
