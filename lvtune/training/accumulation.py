"""Chooses how many parts a step's batch is computed in, from the memory that a few pictures take."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.core.decision import Decision
from lvtune.core.errors import UsageError
from lvtune.core.machine import available_bytes, container_bytes
from lvtune.core.processes import exchange, local_world_size
from lvtune.core.snapshot import snapshot
from lvtune.core.step_part import computing
from lvtune.core.text import counted
from lvtune.training.recomputed_activations import is_computed_again

if TYPE_CHECKING:
    from torch.utils.data import Dataset

PROBES = (2, 4)
"""Pictures of the two steps that are measured; what grows from one to the other is the pictures' own."""
USED = 0.8
"""Share of the free memory that a step may take."""
BESIDE_KEPT = 2.0
"""On a CPU, memory of a step over that of the activations that it keeps: products under way are not counted there
(measured; benchmarks/step_memory.py)."""
_CGROUP = Path("/sys/fs/cgroup")


class MemoryProbe:
    """Measures steps of a few pictures; weights, statistics, gradients and random numbers are as before afterwards.

    Args:
        tunable: what is trained.
        loss_of: of a batch on the device, ready for the backward pass.
        device: of the run.
    """

    def __init__(self, tunable: nn.Module, loss_of: Callable[[dict[str, Any]], Tensor], device: torch.device) -> None:
        self.tunable, self.loss_of, self.device = tunable, loss_of, device

    def measure(self, batches: Sequence[dict[str, Any]]) -> list[int]:
        """Returns the bytes that a step of each batch takes beside weights and gradients."""
        before = snapshot(self.tunable)
        cuda = [self.device] if self.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices=cuda), computing(None):
                return [self._step(batch) for batch in batches]
        finally:
            self.tunable.load_state_dict(before)
            self.tunable.zero_grad(set_to_none=True)

    def _step(self, batch: dict[str, Any]) -> int:
        self.tunable.zero_grad(set_to_none=True)
        if self.device.type != "cuda":
            with _kept_bytes() as kept:
                loss = self.loss_of(batch)
            loss.backward()
            return int(BESIDE_KEPT * sum(kept.values()))
        start = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        self.loss_of(batch).backward()
        return torch.cuda.max_memory_allocated(self.device) - start


@contextlib.contextmanager
def _kept_bytes() -> Iterator[dict[int, int]]:
    """Yields a dict that gets the bytes of each storage that is kept for the backward pass."""
    kept: dict[int, int] = {}
    alive = []  # a storage that went would give its address to another

    def pack(value: Tensor) -> Tensor:
        if not isinstance(value, nn.Parameter) and not is_computed_again(value):
            storage = value.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        yield kept


def free_bytes(device: torch.device) -> int:
    """Returns the free memory of a GPU, or that of the machine, or container, for each of its processes."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    left = container_bytes(_CGROUP)
    free = available_bytes()
    return (free if left is None else min(free, left)) // local_world_size()


def parts_that_fit(used: Sequence[int], fixed: int, free: int, pictures: int) -> int:
    """Returns the number of parts of a process's ``pictures`` of a step.

    Args:
        used: bytes of a step of each of ``PROBES`` pictures.
        fixed: bytes that gradients and moments will take.
        free: bytes that are free before the first step.
        pictures: of the process in a step.

    Raises:
        UsageError: a single picture does not fit.
    """
    each = max(1.0, (used[1] - used[0]) / (PROBES[1] - PROBES[0]))
    before = fixed + max(0.0, used[0] - PROBES[0] * each)
    at_once = int((USED * free - before) // each)
    if at_once < 1:
        raise UsageError(
            f"a step of one picture, which takes {(before + each) / 1e6:,.0f} MB",
            f"at most {USED * free / 1e6:,.0f} MB: {USED:.0%} of the {free / 1e6:,.0f} MB that are free",
            "give --train.checkpointing, or a smaller base or method",
        )  # fmt: skip
    return -(-pictures // min(at_once, pictures))


def choose_accumulate(
    tunable: nn.Module,
    loss_of: Callable[[dict[str, Any]], Tensor],
    data: Dataset,
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]],
    *,
    device: torch.device,
    pictures: int,
) -> tuple[int, Decision]:
    """Measures and chooses; all processes choose the same.

    Args:
        tunable: what is trained.
        loss_of: of a batch, ready for the backward pass.
        data: samples to measure with.
        collate: makes a batch of samples.
        device: of the run.
        pictures: of this process in a step.

    Raises:
        UsageError: a single picture does not fit.
    """
    samples: Any = data
    batches = [collate([samples[i % len(samples)] for i in range(count)]) for count in PROBES]
    used = MemoryProbe(tunable, loss_of, device).measure(batches)
    fixed = sum(12 * value.numel() for value in tunable.parameters() if value.requires_grad)
    free = free_bytes(device)
    count = max(exchange(parts_that_fit(used, fixed, free, pictures)))
    each = (used[1] - used[0]) / (PROBES[1] - PROBES[0]) / 1e6
    why = f"{each:,.1f} MB a picture were measured, {free / 1e6:,.0f} MB are free"
    parts = f"{counted(count, 'part')} of {counted(-(-pictures // count), 'picture')}"
    return count, Decision("accumulate", parts, why)
