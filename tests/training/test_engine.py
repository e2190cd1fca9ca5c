"""The accelerator's device and precision, and what the processor can do."""

from __future__ import annotations

import pytest
import torch

from lvtune.core.errors import UsageError
from lvtune.training.engine import make_accelerator, processor_has_bf16, resolve_device


@pytest.mark.parametrize(
    ("found", "has"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_f": True, "amx_bf16": False}, False),
        ({}, False),
    ],
)
def test_a_processor_with_bfloat16(monkeypatch, found, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert processor_has_bf16() is has


def test_a_torch_that_cannot_say_has_none(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert processor_has_bf16() is False


def test_auto_is_float32_on_the_processor():
    assert make_accelerator("cpu").mixed_precision == "no"
    assert make_accelerator("cpu", "bf16").mixed_precision == "bf16"


@pytest.mark.parametrize("device", ["tpu7", "cuda:99", "cup"])
def test_a_device_that_is_not_here(device):
    with pytest.raises(UsageError) as fault:
        resolve_device(device)
    assert device in str(fault.value) and "--device auto" in str(fault.value)
