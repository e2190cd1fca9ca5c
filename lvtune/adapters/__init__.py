"""Tuning methods, one in each file: its config, its modules, where it attaches, and a link to its paper."""

from lvtune.adapters import (
    bitfit,
    bottleneck,
    full,
    grown,
    head,
    joined,
    last_blocks,
    lora,
    norm,
    peft_tuners,
    ssf,
    stack,
    vlpose,
    vlpose_light,
    vpt,
)
from lvtune.adapters.factory import adopt, base_of, create_adapter
from lvtune.adapters.method_registry import METHODS, list_methods, register_method

__all__ = [
    "METHODS",
    "adopt",
    "base_of",
    "bitfit",
    "bottleneck",
    "create_adapter",
    "full",
    "grown",
    "head",
    "joined",
    "last_blocks",
    "list_methods",
    "lora",
    "norm",
    "peft_tuners",
    "register_method",
    "ssf",
    "stack",
    "vlpose",
    "vlpose_light",
    "vpt",
]
