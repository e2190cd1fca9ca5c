"""Shares the cells of a comparison among the processes of one launch (``accelerate launch``, ``torchrun``)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from lvtune.core.processes import rank, world_size

Item = TypeVar("Item")
_LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE",
             "MASTER_ADDR", "MASTER_PORT")  # fmt: skip
"""Environment variables that a launcher sets, and that Accelerate reads."""


def cells_of_this_process(items: Sequence[Item]) -> list[Item]:
    """Returns the items that this process works on.

    The shares depend on the places among all items, not among those left to do: two processes need not see the same
    ones finished. The order of the processes shifts each round, or one of them could get every run of the slowest
    method.
    """
    world, own = world_size(), rank()
    return [item for i, item in enumerate(items) if (i + i // world) % world == own]


def meet() -> None:
    """Waits until all processes of a launch have called this function.

    Call it once per launch: the launcher's store would give a second process group the addresses of the first.
    """
    from torch import distributed

    distributed.init_process_group("gloo")
    try:
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


@contextmanager
def process_alone() -> Iterator[str | None]:
    """Hides the launcher's variables, so that each process runs its cells alone; yields its GPU, or None.

    Accelerate would otherwise share each run among the processes. A process group around the runs would not work
    either: its barriers would time out, since cells take different times.
    """
    hidden = {name: os.environ.pop(name) for name in _LAUNCHED if name in os.environ}
    try:
        yield _device(int(hidden["LOCAL_RANK"])) if "LOCAL_RANK" in hidden else None
    finally:
        os.environ.update(hidden)


def _device(local_rank: int) -> str | None:
    import torch

    return f"cuda:{local_rank % torch.cuda.device_count()}" if torch.cuda.is_available() else None
