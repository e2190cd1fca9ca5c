"""What a call has resolved, for as long as the call runs, and for its backward pass."""

from __future__ import annotations

import threading
from contextvars import ContextVar

from torch import Tensor

from lvtune.core.private_api import backward_pass_id
from lvtune.patcher.call_parts import Routing

running: ContextVar[dict[int, Routing]] = ContextVar("lvtune_running", default={})  # noqa: B039
"""id of a model to what the call that is under way has resolved; a dict in it is never changed."""


Runs = list[tuple[Routing, Tensor | None]]
"""The calls of a model's forward that one batch needs: what each has resolved, and the places of its samples in the
batch; None: all samples, in their order."""


class Recomputation(threading.local):
    """Remembers what a call had resolved while its backward pass runs in this thread.

    Activation checkpointing runs parts of a call again in its backward pass. The call and its context are over by
    then, and on a GPU the backward pass has a thread of its own. The gradient of a call's output arrives in that
    thread before any part of the call is run again, so a hook on the output can say what the call had resolved.
    """

    def __init__(self) -> None:
        self._pass, self._runs, self._routing = -1, None, None

    def note(self, output: object, routing: Routing | None, runs: Runs | None = None) -> None:
        """Remembers both once the gradient of ``output`` arrives; without ``runs``, keeps the former ones."""
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda gradient: self._set(routing, runs or self.runs))

    def _set(self, routing: Routing | None, runs: Runs | None) -> None:
        self._pass, self._runs, self._routing = backward_pass_id(), runs, routing

    @property
    def is_on(self) -> bool:
        """Returns True if this thread is in the backward pass of a call that was noted."""
        return self._pass != -1 and self._pass == backward_pass_id()

    @property
    def runs(self) -> Runs | None:
        """What the whole call had resolved, or None."""
        return self._runs if self.is_on else None

    @property
    def routing(self) -> Routing | None:
        """What the samples whose gradient is under way had resolved, or None."""
        return self._routing if self.is_on else None
