"""Sets up Accelerate as the options say."""

from __future__ import annotations

import torch
from accelerate import Accelerator

from lvtune.core.errors import UsageError
from lvtune.core.private_api import forget_accelerator


def make_accelerator(device: str = "auto", precision: str = "auto") -> Accelerator:
    """Makes an Accelerator on ``device``.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``; under ``accelerate launch`` each process has its own.
        precision: ``no``, ``bf16``, ``fp16``; ``auto`` is bf16 on a GPU that is fast at it, else ``no``.

    Raises:
        UsageError: a device that does not exist here.
    """
    resolve_device(device)
    if precision == "auto":
        fast = device != "cpu" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        precision = "bf16" if fast else "no"
    forget_accelerator()  # one process may run several recipes
    if device.startswith("cuda:"):
        torch.cuda.set_device(torch.device(device))
    return Accelerator(mixed_precision=precision, cpu=device == "cpu")


def processor_has_bf16() -> bool:
    """Returns True if this processor multiplies bfloat16 numbers itself; others imitate it slowly."""
    read = getattr(torch.cpu, "get_capabilities", None)  # torch 2.11 has no such function
    found = read() if read else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def resolve_device(device: str) -> torch.device:
    """Returns the torch device; ``auto`` is the GPU if there is one.

    Raises:
        UsageError: not a device, or a device that does not exist here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if found is None or (found.index or 0) >= there.get(found.type, 0):
        known = ", ".join(name for name, count in there.items() if count)
        raise UsageError(f"device '{device}'", f"auto or one of {known}", "choose --device auto")
    return found
