"""What the call that is under way has resolved, and what its backward pass must know of it."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import torch
from torch import Tensor

from lvtune.patcher.routing import Routing

running: ContextVar[dict[int, Routing]] = ContextVar("lvtune_running", default={})  # noqa: B039
"""id of a model to what the call that is under way resolved; never changed in place."""


Runs = list[tuple[Routing, Tensor | None]]
"""What each call of a model's forward that one batch needs has resolved, and the places of its samples in the batch;
None: all as they are."""


class Recomputation(threading.local):
    """What was resolved by the call whose backward pass is under way in this thread.

    Activation checkpointing runs parts of a call again in its backward pass: long after the call, whose context is
    gone, and on a GPU's own thread. The gradient of a call's output arrives before any part of that call is run
    again, in the same thread, so a hook on the output can say what the call had resolved.
    """

    def __init__(self) -> None:
        self._task, self._runs, self._routing = -1, None, None

    def note(self, output: object, routing: Routing | None, runs: Runs | None = None) -> None:
        """Will remember both when the gradient of ``output`` arrives; no ``runs`` keeps those noted before."""
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda gradient: self._set(routing, runs or self.runs))

    def _set(self, routing: Routing | None, runs: Runs | None) -> None:
        self._task, self._runs, self._routing = torch._C._current_graph_task_id(), runs, routing

    @property
    def is_on(self) -> bool:
        """Whether this thread is in the backward pass of a call that was noted."""
        return self._task != -1 and self._task == torch._C._current_graph_task_id()

    @property
    def runs(self) -> Runs | None:
        """What the whole call had resolved, or None."""
        return self._runs if self.is_on else None

    @property
    def routing(self) -> Routing | None:
        """What the samples had resolved whose gradient is under way, or None."""
        return self._routing if self.is_on else None
