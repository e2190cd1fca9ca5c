"""The running mean of a module's weights and statistics: what a run saves, and what a teacher answers with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from lvtune.core.snapshot import snapshot


@torch.no_grad()
def follow(mean: Mapping[str, Tensor], state: Mapping[str, Tensor], decay: float, step: int) -> None:
    """Takes the weights of a step into the mean, in place; whole numbers are copied.

    Args:
        mean: name to tensor.
        state: the weights now, by the same names.
        decay: of the mean; early steps have a shorter memory, so that the mean starts at once.
        step: steps before this one.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in state.items():
        if value.is_floating_point():
            mean[name].lerp_(value, 1 - decay)
        else:
            mean[name].copy_(value)


@contextlib.contextmanager
def holding(module: nn.Module, state: Mapping[str, Tensor] | None) -> Iterator[None]:
    """Inside, the module has other weights; None: its own."""
    if state is None:
        yield
        return
    own = snapshot(module)
    module.load_state_dict(state)
    try:
        yield
    finally:
        module.load_state_dict(own)
