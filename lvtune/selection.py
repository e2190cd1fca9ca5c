"""Which adapter acts: chosen in a context variable, resolved once at the outermost call of a model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lvtune.errors import LvtuneError


@dataclass(frozen=True)
class Selection:
    """What a caller chose: ``...`` for the adapter attached last, a name, None, or one of these per sample."""

    adapters: Any = ...
    prompt: str | tuple[str | None, ...] | None = None

    @property
    def is_single(self) -> bool:
        """Whether one adapter is chosen for all samples."""
        return is_single(self.adapters)

    def resolve(self, active: str | None, batch: int) -> Groups:
        """Owner and prompts of each group of samples, with the places of its samples in the batch.

        Raises:
            LvtuneError: a list of another length than the batch.
        """
        names = [self.adapters] * batch if self.is_single else list(self.adapters)
        prompts = list(self.prompt) if isinstance(self.prompt, tuple) else [self.prompt] * batch
        for what, given in (("adapters", names), ("prompts", prompts)):
            if len(given) != batch:
                raise LvtuneError(f"{len(given)} {what} for a batch of {batch}", "one per sample", "give as many")
        groups = []
        for name in [self.adapters] if self.is_single else dict.fromkeys(names):
            where = [i for i, other in enumerate(names) if other == name]
            asked = tuple(prompts[i] or None for i in where)
            owner = active if name is ... else name
            groups.append((Resolved(owner, asked if any(asked) else None), torch.tensor(where)))
        return groups


@dataclass(frozen=True)
class Resolved:
    """The selection of one outermost call, for one group of its samples; ``prompts`` None where nobody asked."""

    owner: str | None
    prompts: str | tuple[str | None, ...] | None = None

    def prompts_of(self, batch: int) -> tuple[str | None, ...] | None:
        """One prompt per sample, or None."""
        return (self.prompts,) * batch if isinstance(self.prompts, str) else self.prompts


Groups = list[tuple[Resolved, Tensor]]

chosen: ContextVar[dict[int, Selection]] = ContextVar("lvtune_chosen", default={})  # noqa: B039
"""id of a model to what its caller chose; never changed in place."""
running: ContextVar[dict[int, Resolved]] = ContextVar("lvtune_running", default={})  # noqa: B039
"""id of a model to what the call that is under way resolved; never changed in place."""


def is_single(adapters: object) -> bool:
    """Whether a choice is one adapter, not a list of one per sample."""
    return adapters is ... or adapters is None or isinstance(adapters, str)


def as_choice(adapters: Any, prompt: Any, outer: Selection) -> Selection:
    """A caller's arguments as a selection; what is ``...`` is left as the caller outside chose it."""
    names = outer.adapters if adapters is ... else adapters if is_single(adapters) else tuple(adapters)
    asked = outer.prompt if prompt is ... else tuple(prompt) if _is_list(prompt) else prompt
    return Selection(names, asked)


def _is_list(prompt: object) -> bool:
    return isinstance(prompt, Sequence) and not isinstance(prompt, str)


class Recomputation(threading.local):
    """What was resolved by the call whose backward pass is under way in this thread.

    Activation checkpointing runs parts of a call again in its backward pass: long after the call, whose context is
    gone, and on a GPU's own thread. The gradient of a call's output arrives before any part of that call is run
    again, in the same thread, so a hook on the output can say what the call had resolved.
    """

    def __init__(self) -> None:
        self._task, self._groups, self._resolved = -1, None, None

    def note(self, output: object, resolved: Resolved | None, groups: Groups | None = None) -> None:
        """Will remember both when the gradient of ``output`` arrives; no ``groups`` keeps those noted before."""
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda gradient: self._set(resolved, groups or self.groups))

    def _set(self, resolved: Resolved | None, groups: Groups | None) -> None:
        self._task, self._groups, self._resolved = torch._C._current_graph_task_id(), groups, resolved

    @property
    def is_on(self) -> bool:
        """Whether this thread is in the backward pass of a call that was noted."""
        return self._task != -1 and self._task == torch._C._current_graph_task_id()

    @property
    def groups(self) -> Groups | None:
        """What the whole call had resolved, or None."""
        return self._groups if self.is_on else None

    @property
    def resolved(self) -> Resolved | None:
        """What the group of samples had resolved whose gradient is under way, or None."""
        return self._resolved if self.is_on else None
