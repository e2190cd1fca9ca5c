"""Resumable state of a run: one safetensors file, replaced atomically."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


@dataclass
class Progress:
    """How far a run is."""

    epoch: int = 0
    step: int = 0
    history: dict[str, list] = field(default_factory=dict)


def save_checkpoint(
    path: Path,
    adapter: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor] | None,
    progress: Progress,
    key: str,
) -> None:
    """Writes adapter, optimiser moments, averaged weights and progress; ``key`` names the run."""
    tensors = {f"adapter.{name}": value for name, value in adapter.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in (average or {}).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    meta = {"progress": json.dumps(vars(progress)), "key": key}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, temporary, meta)
    os.replace(temporary, path)


def load_checkpoint(
    path: Path, adapter: nn.Module, optimizer: torch.optim.Optimizer, key: str
) -> tuple[Progress, dict[str, Tensor] | None] | None:
    """Restores what :func:`save_checkpoint` wrote; None where there is no checkpoint of this very run."""
    if not path.is_file():
        return None
    with safe_open(path, "pt") as file:
        meta = file.metadata() or {}
        if meta.get("key") != key:
            return None
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    part = lambda prefix: {  # noqa: E731
        name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)
    }
    adapter.load_state_dict(part("adapter."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in part("optimizer.").items():
        index, field_name = name.split(".", 1)
        state.setdefault(int(index), {})[field_name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return Progress(**json.loads(meta["progress"])), part("average.") or None
