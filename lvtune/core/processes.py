"""The processes of one launch (``accelerate launch``, ``torchrun``): which one this is, and what they exchange.

A launcher starts the same command several times and tells each process its number by environment variables. Inside
:func:`together` the processes form a group through Accelerate: they share work and wait for each other. What only one
process does, such as writing files, runs inside :func:`apart`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from lvtune.core.errors import LvtuneError

PATIENCE = timedelta(hours=6)
"""How long a process waits for the others; they may download data meanwhile. One that ends is noticed at once."""
_LOST = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|gloo|nccl|tcpstore|socket|recvValue|timed? ?out", re.I
)
_together: ContextVar[bool] = ContextVar("lvtune_together", default=False)


def rank() -> int:
    """Returns the number of this process within its launch; 0 without a launcher."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Returns the number of processes of the launch; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_world_size() -> int:
    """Returns the number of processes of the launch on this machine; 1 without a launcher."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_main() -> bool:
    """Returns True in the process that writes files and prints: the first one, or the only one."""
    return rank() == 0


def are_together() -> bool:
    """Returns True where several processes work on one thing, inside :func:`together`."""
    return _together.get()


@contextlib.contextmanager
def together(device: str = "auto") -> Iterator[None]:
    """Joins the processes of the launch for the block; without a launcher it does nothing.

    Args:
        device: of the run; ``cpu`` makes a gloo group, else the one that suits the GPUs.

    Raises:
        LvtuneError: another process of the launch has ended.
    """
    if world_size() == 1 or are_together():
        yield
        return
    from accelerate import PartialState

    token = _together.set(True)
    try:
        PartialState(cpu=device == "cpu", timeout=PATIENCE)
        yield
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        raise _peer_lost(error) from error
    finally:
        _together.reset(token)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Lets this process work alone inside the block, within :func:`together`."""
    token = _together.set(False)
    try:
        yield
    finally:
        _together.reset(token)


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Runs the block in the first process of each machine, then in the others: they find what it downloaded."""
    if not are_together():
        yield
        return
    from accelerate import PartialState

    with PartialState().local_main_process_first():
        yield


def exchange(value: Any) -> list[Any]:
    """Returns the value of every process, in the order of their numbers; all processes must call it."""
    if not are_together():
        return [value]
    from accelerate.utils import gather_object

    return gather_object([value])


def from_main(value: Any) -> Any:
    """Returns the value of the main process; all processes must call it."""
    if not are_together():
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def share_of_this_process(count: int) -> range:
    """Returns the places, of ``count``, that this process works on: every n-th, so that all have equally many."""
    return range(rank(), count, world_size()) if are_together() else range(count)


def gathered(own: dict[int, Any], count: int) -> list[Any]:
    """Returns the results for all ``count`` places in their order, from those of each process; each place once."""
    found: dict[int, Any] = {}
    for part in exchange(own):
        found |= part
    return [found[place] for place in range(count)]


def _peer_lost(error: RuntimeError) -> LvtuneError:
    reason = str(error).strip().partition("\n")[0][:160]
    return LvtuneError(
        f"process {rank()} of {world_size()}, which lost another process of its launch ({reason})",
        "all processes running to the end",
        "see what the other process printed, and type the same command again",
    )
