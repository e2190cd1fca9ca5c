"""Resumable state of a run: one safetensors file with a checksum, replaced atomically."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from lvtune.core.errors import TrainingError
from lvtune.core.files import write_atomically
from lvtune.core.strict_json import canonical_json, short, strict_json
from lvtune.core.tensor_file import FileKind, hash_tensors, pack, unpack

_log = logging.getLogger(__name__)

CHECKPOINT = FileKind("checkpoint", TrainingError, "type the same command again: the run then starts anew")
_KEY, _PROGRESS, _HASH = "key", "progress", "sha256"


@dataclass
class Progress:
    """How far a run is."""

    epoch: int = 0
    step: int = 0
    total: int | None = None
    """Steps in all, where they were fitted to a time budget."""
    history: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Saved:
    """The content of a checkpoint, by what it belongs to."""

    key: str
    progress: Progress
    adapter: dict[str, Tensor]
    trained: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]]


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
    """Writes adapter, optimiser moments, averaged weights and progress, with a checksum over all of it.

    Args:
        path: of the file.
        adapter: as it is now.
        optimizer: of the run.
        average: averaged weights of the adapter; None: there are none.
        progress: how far the run is.
        key: names the run.
        trained: what the objective trains beside the adapter.

    Raises:
        LvtuneError: the file cannot be written.
    """
    tensors = {f"adapter.{name}": value for name, value in adapter.state_dict().items()}
    tensors |= {f"trained.{name}": value for name, value in (trained.state_dict() if trained else {}).items()}
    tensors |= {f"average.{name}": value for name, value in (average or {}).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    meta = {_PROGRESS: canonical_json(vars(progress), "the progress of the run"), _KEY: key}
    write_atomically(path, pack(tensors, {**meta, _HASH: _hash(tensors, meta)}))


def load_checkpoint(
    path: Path,
    adapter: nn.Module,
    optimizer: torch.optim.Optimizer,
    key: str,
    trained: nn.Module | None = None,
    *,
    steps: int | None = None,
    record: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Progress, dict[str, Tensor] | None] | None:
    """Restores what :func:`save_checkpoint` wrote.

    Nothing is changed before everything in the file has been checked. A damaged checkpoint is renamed to
    ``<name>.damaged``, so that the next run starts anew.

    Args:
        path: of the file.
        adapter: gets the weights.
        optimizer: gets the moments.
        key: names the run.
        trained: what the objective trains beside the adapter.
        steps: of the whole run; None: any number.
        record: an empty history: its fields, with values of their kinds.

    Returns:
        How far the run is, and the averaged weights; None where there is no checkpoint of this very run.

    Raises:
        TrainingError: the file is damaged, or is not what a run of this key writes.
    """
    if not path.is_file():
        return None
    try:
        saved = _read(path)
        if saved.key != key:
            _log.warning("note: checkpoint '%s' is of another run and is passed over", path)
            return None
        _check_fit(path, saved, adapter=adapter, optimizer=optimizer, trained=trained, steps=steps, record=record)
    except (TrainingError, OSError) as error:
        raise _set_aside(path, error) from error
    adapter.load_state_dict(saved.adapter)
    if trained is not None:
        trained.load_state_dict(saved.trained)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": saved.optimizer})
    own = adapter.state_dict()
    average = {name: value.to(own[name].device) for name, value in saved.average.items()}
    return saved.progress, average or None


def is_of_run(path: Path, key: str) -> bool:
    """Returns True if the checkpoint at ``path`` is of the run that ``key`` names.

    Raises:
        TrainingError: the file is damaged.
    """
    return unpack(path, CHECKPOINT).metadata.get(_KEY) == key


def _read(path: Path) -> _Saved:
    packed = unpack(path, CHECKPOINT)
    meta = {name: packed.metadata.get(name, "") for name in (_PROGRESS, _KEY)}
    if packed.metadata.get(_HASH) != _hash(packed.tensors, meta):
        raise _damaged(path, "its sha256 differs")
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(packed.tensors, "optimizer.").items():
        index, _, field_name = name.partition(".")
        if not index.isdecimal() or len(index) > 9:
            raise _damaged(path, f"it has moments named {short(name)}")
        state.setdefault(int(index), {})[field_name] = value
    adapter, trained, average = (_part(packed.tensors, f"{name}.") for name in ("adapter", "trained", "average"))
    return _Saved(meta[_KEY], _progress(path, meta[_PROGRESS]), adapter, trained, average, state)


def _progress(path: Path, text: str) -> Progress:
    values = strict_json(text, f"the progress in '{path}'", error=TrainingError, fix=CHECKPOINT.fix)
    if not isinstance(values, dict) or values.keys() != {"epoch", "step", "total", "history"}:
        raise _damaged(path, "it does not say how far the run was")
    progress = Progress(**values)
    counts = (progress.epoch, progress.step, 0 if progress.total is None else progress.total)
    if not all(type(count) is int and count >= 0 for count in counts) or not isinstance(progress.history, dict):
        raise _damaged(path, f"it says epoch {short(counts[0])}, step {short(counts[1])}")
    return progress


def _check_fit(
    path: Path,
    saved: _Saved,
    *,
    adapter: nn.Module,
    optimizer: torch.optim.Optimizer,
    trained: nn.Module | None,
    steps: int | None,
    record: Mapping[str, Any],
) -> None:
    progress, history = saved.progress, saved.progress.history
    is_record = all(
        isinstance(history.get(name, value), list) == isinstance(value, list) for name, value in record.items()
    )
    if not is_record or not all(name in record and _is_record(value) for name, value in history.items()):
        raise _damaged(path, "its record of the run cannot be read")
    recorded = len(history.get("steps", []))
    steps = steps if progress.total is None else progress.total
    if recorded != progress.step or (steps is not None and progress.step > steps):
        raise _damaged(path, f"it says step {progress.step}, records {recorded} steps, and the run has {steps}")
    _compare(path, "weights", saved.adapter, adapter.state_dict())
    _compare(path, "weights of the objective", saved.trained, {} if trained is None else trained.state_dict())
    if saved.average:
        _compare(path, "averaged weights", saved.average, adapter.state_dict())
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, state in saved.optimizer.items():
        if index >= len(parameters) or any(
            value.ndim and value.shape != parameters[index].shape for value in state.values()
        ):
            raise _damaged(path, "its moments are not those of this optimiser")


def _is_record(value: object) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(number is None or type(number) in (int, float) for number in numbers)


def _compare(path: Path, what: str, found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    sizes = [{name: (value.shape, value.dtype) for name, value in tensors.items()} for tensors in (found, own)]
    if sizes[0] != sizes[1]:
        raise _damaged(path, f"its {what} are not those of this run")


def _hash(tensors: Mapping[str, Tensor], meta: Mapping[str, str]) -> str:
    text = "\0".join([hash_tensors(tensors.items()), meta[_PROGRESS], meta[_KEY]])
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(path: Path, why: str) -> TrainingError:
    return TrainingError(f"damaged checkpoint '{path}' ({why})", "what this run wrote", CHECKPOINT.fix)


def _set_aside(path: Path, error: TrainingError | OSError) -> TrainingError:
    """Renames a damaged checkpoint; returns the error that says so."""
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    given = error.given if isinstance(error, TrainingError) else f"checkpoint '{path}' that cannot be read ({error})"
    return TrainingError(f"{given}, now moved to '{aside}'", "an undamaged checkpoint", CHECKPOINT.fix)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
