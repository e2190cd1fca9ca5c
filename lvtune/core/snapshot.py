"""Copies the state of a module, to go back to it later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """Returns a copy of a module's state dict; ``module.load_state_dict`` goes back to it."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
