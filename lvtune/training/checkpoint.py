"""Resumable state of a run: one safetensors file, replaced atomically."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from lvtune.core.errors import LvtuneError
from lvtune.core.files import write_atomically


@dataclass
class Progress:
    """How far a run is."""

    epoch: int = 0
    step: int = 0
    total: int | None = None
    """Steps in all, where they were fitted to a time budget."""
    history: dict[str, list] = field(default_factory=dict)


def save_checkpoint(
    path: Path,
    adapter: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor] | None,
    *,
    progress: Progress,
    key: str,
    trained: nn.Module | None = None,
) -> None:
    """Writes adapter, optimiser moments, averaged weights and progress; ``key`` names the run.

    ``trained`` is what the objective trains beside the adapter.
    """
    tensors = {f"adapter.{name}": value for name, value in adapter.state_dict().items()}
    tensors |= {f"trained.{name}": value for name, value in (trained.state_dict() if trained else {}).items()}
    tensors |= {f"average.{name}": value for name, value in (average or {}).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    meta = {"progress": json.dumps(vars(progress)), "key": key}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_atomically(path, to_safetensors(tensors, meta))


def load_checkpoint(
    path: Path, adapter: nn.Module, optimizer: torch.optim.Optimizer, key: str, trained: nn.Module | None = None
) -> tuple[Progress, dict[str, Tensor] | None] | None:
    """Restores what :func:`save_checkpoint` wrote; None where there is no checkpoint of this very run.

    Raises:
        LvtuneError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            if meta.get("key") != key:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise LvtuneError(
            f"checkpoint {path} that cannot be read ({error})", "an undamaged checkpoint",
            "delete it to start the run anew",
        ) from error  # fmt: skip
    adapter.load_state_dict(_part(tensors, "adapter."))
    if trained is not None:
        trained.load_state_dict(_part(tensors, "trained."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer.").items():
        index, field_name = name.split(".", 1)
        state.setdefault(int(index), {})[field_name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    own = adapter.state_dict()
    average = {name: value.to(own[name].device) for name, value in _part(tensors, "average.").items()}
    return Progress(**json.loads(meta["progress"])), average or None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
