"""Freed memory is given back in the steps of a run where the base is large, or where the user asks for it."""

import contextlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tiny import tiny_base

from lvtune.config.options import TrainOptions
from lvtune.training import step_memory
from lvtune.training.step_memory import LARGE_BASE, memory_returned, returned_memory

HERE = SimpleNamespace(device=torch.device("cpu"))


def base_of(count):
    return SimpleNamespace(model=SimpleNamespace(parameters=lambda: [torch.empty(count, device="meta")]))


@pytest.mark.parametrize(
    ("wanted", "count", "device", "possible", "said"),
    [
        ("auto", LARGE_BASE, "cpu", True, "given back at once"),
        ("auto", LARGE_BASE - 1, "cpu", True, None),
        ("yes", 10, "cpu", True, "given back at once"),
        ("no", 2 * LARGE_BASE, "cpu", True, None),
        ("auto", LARGE_BASE, "cuda", True, None),
        ("auto", LARGE_BASE, "cpu", False, None),
        ("yes", 10, "cpu", False, "kept"),
        ("yes", 10, "cuda", True, "kept"),
    ],
)
def test_large_bases_or_whoever_asks(monkeypatch, wanted, count, device, possible, said):
    monkeypatch.setattr(step_memory, "can_return_memory", lambda: possible)
    inside = []
    monkeypatch.setattr(step_memory, "returning_memory", lambda: contextlib.nullcontext(inside.append(1)))
    options = replace(TrainOptions(), return_memory=wanted)
    found = returned_memory(base_of(count), options, SimpleNamespace(device=torch.device(device)))
    assert [one.value for one in found] == ([] if said is None else [said])
    with memory_returned(found):
        assert bool(inside) == (said == "given back at once")


def test_a_tiny_base_is_not_large():
    assert returned_memory(tiny_base(), TrainOptions(), HERE) == []
