"""Divides the batch of each step among processes, and by each into micro-batches (gradient accumulation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accelerate.utils import send_to_device

from lvtune.core.decision import Decision
from lvtune.core.errors import TrainingError, UsageError
from lvtune.core.processes import exchange
from lvtune.core.text import counted
from lvtune.data.dataset import collate
from lvtune.training.accumulation import choose_accumulate
from lvtune.training.sampler import Division

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn


def divide_step(
    accelerator: Accelerator, tunable: nn.Module, data: Any, size: int, wanted: int | str
) -> tuple[Division, list[Decision]]:
    """Returns how each step's batch is divided, and what was chosen for the user.

    Args:
        accelerator: of the run; it knows the processes.
        tunable: adapter and objective; called with a batch it gives the loss.
        data: samples to measure with.
        size: pictures of a step, of all processes together.
        wanted: micro-batches of each process, or ``auto``.

    Raises:
        UsageError: fewer pictures in a step than processes; a single picture does not fit into the memory.
    """
    processes, rank = accelerator.num_processes, accelerator.process_index
    if size < processes:
        is_all = size == len(data)
        raise UsageError(
            f"a batch of {counted(size, 'picture')} for {counted(processes, 'process', 'processes')}"
            + (", and there are no more pictures to tune on" if is_all else ""),
            "at least one picture for each process",
            "start fewer processes" if is_all else "raise --train.batch-size, or start fewer processes",
        )  # fmt: skip
    own = -(-size // processes)
    if wanted != "auto":
        count = min(int(wanted), size // processes)
        said = (
            []
            if count == wanted
            else [Decision("accumulate", counted(count, "part"), f"a step has {counted(size, 'picture')}")]
        )
        return Division(size, processes, rank, count), said

    def loss_of(batch: dict[str, Any]) -> Tensor:
        with accelerator.autocast():
            return tunable(send_to_device(batch, accelerator.device))

    count, decision = choose_accumulate(tunable, loss_of, data, collate, device=accelerator.device, pictures=own)
    return Division(size, processes, rank, min(count, size // processes)), [decision]


def check_same_progress(step: int | None) -> None:
    """Checks that all processes resume at the same step.

    Raises:
        TrainingError: they do not see the same checkpoint.
    """
    found = exchange(step)
    if len(set(found)) > 1:
        raise TrainingError(
            f"processes that resume at the steps {', '.join(map(str, found))}", "one checkpoint that all of them read",
            "write into a folder that all machines share (--out), or delete the checkpoint",
        )  # fmt: skip
