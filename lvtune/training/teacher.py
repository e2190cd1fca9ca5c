"""The running mean of an adapter's weights, kept beside it; what it was at some step is lent to the adapter for calls.

The base is there once: the teacher is nothing but tensors of the adapter's size. For a call they change places with the
adapter's own; no number is copied, and autograd sees nothing of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lvtune.training.objective_wrapper import Steps
from lvtune.training.running_mean import follow


class Teacher(nn.Module):
    """The running mean of an adapter, the mean that answers, and the number of steps so far; a checkpoint keeps all.

    Args:
        adapter: whose weights it follows.
        decay: of the running mean; early steps have a shorter memory, so that the mean starts at once.
    """

    followed: Tensor
    """Step that was followed last."""
    renewed: Tensor
    """Step whose mean answers; -1: none does."""

    def __init__(self, adapter: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay, self.names = decay, list(adapter.state_dict())
        self.steps = Steps()
        for place, value in enumerate(adapter.state_dict().values()):
            self.register_buffer(f"mean_{place}", value.detach().clone())
            self.register_buffer(f"answering_{place}", value.detach().clone())
        for name in ("followed", "renewed"):
            self.register_buffer(name, torch.full((), -1, dtype=torch.int64))

    def state(self) -> dict[str, Tensor]:
        """Returns the running mean, by the names of the adapter's state dict; not a copy."""
        return {name: getattr(self, f"mean_{place}") for place, name in enumerate(self.names)}

    @torch.no_grad()
    def follow(self, adapter: nn.Module, step: int) -> None:
        """Takes the weights after ``step`` steps into the mean, once however often it is called; at step 0 copies."""
        if step and int(self.followed) == step:  # another part of the same step
            return
        self.followed.fill_(step)
        mean, state = self.state(), adapter.state_dict()
        if step:
            follow(mean, state, self.decay, step)
        else:
            for name, value in state.items():
                mean[name].copy_(value)

    @torch.no_grad()
    def renew(self, step: int, every: int) -> bool:
        """Lets the mean answer as it is now: at step 0, and each ``every`` steps (0: never again); True if it did."""
        is_time = step == 0 or (every > 0 and step % every == 0)
        if not is_time or int(self.renewed) == step:  # the same: another part of the same step
            return False
        self.renewed.fill_(step)
        answering = self._answering()
        for name, value in self.state().items():
            answering[name].copy_(value)
        return True

    def _answering(self) -> dict[str, Tensor]:
        return {name: getattr(self, f"answering_{place}") for place, name in enumerate(self.names)}

    @contextlib.contextmanager
    def lent_to(self, adapter: nn.Module) -> Iterator[None]:
        """Inside, the adapter answers as the teacher, in its evaluation mode and without gradients."""
        was_training = adapter.training
        adapter.eval()
        self._exchange(adapter)
        try:
            with torch.no_grad():
                yield
        finally:
            self._exchange(adapter)
            adapter.train(was_training)

    def _exchange(self, adapter: nn.Module) -> None:
        own, mean = adapter.state_dict(keep_vars=True), self._answering()
        for name in self.names:
            own[name].data, mean[name].data = mean[name].data, own[name].data
