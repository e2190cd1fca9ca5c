"""Says what depends on how a step's batch is divided: then the result is not that of the undivided batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from lvtune.core.text import counted

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.training.sampler import Division


def notes_on_division(base: Base, tunable: nn.Module, objective: Any, division: Division) -> list[str]:
    """Returns a sentence for each thing that sees only a part of the batch; none where the batch is not divided.

    Args:
        base: with the adapter attached.
        tunable: what is trained.
        objective: of the run; its ``compares`` says what it takes from the other samples of a batch.
        division: of the batch.
    """
    if division.is_whole:
        return []
    parts = division.processes * division.accumulate  # of all processes: one speaks for them
    low, high = division.size // parts, -(-division.size // parts)
    part = counted(high, "picture") if low == high else f"{low} to {high} pictures"
    ending = f"of {part}, not of all {division.size} of a step: the result differs from one batch"
    found = []
    compares = getattr(objective, "compares", "")
    if compares:
        found.append(f"{getattr(objective, 'objective', 'the objective')}: {compares} are {ending}")
    mode = base.training
    base.train(True)
    if any(_follows_batches(module) for module in tunable.modules()):
        found.append(f"statistics of trained BatchNorms are {ending}")
    if any(_drops(module) for module in tunable.modules()):
        found.append(f"masks of dropout layers that are not lvtune's own are drawn for groups {ending}")
    base.train(mode)
    return found


def _drops(module: nn.Module) -> bool:
    return module.training and isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0


def _follows_batches(module: nn.Module) -> bool:
    """Returns True for a normalisation whose statistics follow the batches."""
    return module.training and getattr(module, "running_mean", None) is not None
