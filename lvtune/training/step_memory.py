"""What a run does for less memory in its steps: it computes activations again, and gives freed memory back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lvtune.core.decision import Decision
from lvtune.core.freed_memory import can_return_memory, returning_memory
from lvtune.core.private_api import is_compiled
from lvtune.training.recomputed_activations import recomputed_activations
from lvtune.training.recomputed_blocks import recomputed_blocks

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from lvtune.bases.base import Base
    from lvtune.config.options import TrainOptions

LARGE_BASE = 50_000_000
"""Weights of a base from which freed memory is given back by default. For ViT-B's size (86 million) a step takes about
3 % more time and a seventh less memory; for ``vitpose-ti`` (6 million) 11 to 13 % more (benchmarks/README.md)."""
WHAT = "freed memory in each step"


@contextlib.contextmanager
def computed_again(base: Base, adapter: nn.Module, blocks: bool, activations: bool) -> Iterator[None]:
    """Inside, ``blocks`` and cheap ``activations`` are computed again for the gradient."""
    with contextlib.ExitStack() as stack:
        if blocks:
            stack.enter_context(recomputed_blocks(base, adapter))
        if activations and not is_compiled(base.model):
            stack.enter_context(recomputed_activations())
        yield


def returned_memory(base: Base, options: TrainOptions, accelerator: Accelerator) -> list[Decision]:
    """Returns that freed memory is given back in the steps of this run, as one decision; nothing where it is kept."""
    wanted = options.return_memory
    if wanted == "no" or (wanted == "auto" and sum(p.numel() for p in base.model.parameters()) < LARGE_BASE):
        return []
    if accelerator.device.type == "cpu" and can_return_memory():
        why = "the peak is lower, and a step takes a few hundredths longer; --train.return-memory no keeps it"
        return [Decision(WHAT, "given back at once", why)]
    if wanted == "auto":
        return []
    why = "it works only on a CPU with GNU's C library, where no variable MALLOC_* or GLIBC_TUNABLES is set"
    return [Decision(WHAT, "kept", why)]


def memory_returned(decisions: list[Decision]) -> contextlib.AbstractContextManager[None]:
    """Carries out what :func:`returned_memory` decided."""
    given_back = any(one.value == "given back at once" for one in decisions)
    return returning_memory() if given_back else contextlib.nullcontext()
