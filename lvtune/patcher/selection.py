"""Which adapter acts: chosen in a context variable, resolved once at the outermost call of a model."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.core.errors import LvtuneError
from lvtune.patcher.routing import Routing

if TYPE_CHECKING:
    from lvtune.bases.base import Base

AUTO = "auto"
"""In place of a name: the pictures decide, see :mod:`lvtune.patcher.automatic`."""


@dataclass(frozen=True)
class Selection:
    """What a caller chose: ``...`` for the adapter attached last, a name, None, or one of these per sample.

    Or ``AUTO``, or a function of (base, attached adapters by name, pixel values) that gives one per sample.
    """

    adapters: Any = ...
    prompt: str | tuple[str | None, ...] | None = None

    @property
    def is_single(self) -> bool:
        """Whether one adapter is chosen for all samples."""
        return is_single(self.adapters)

    @property
    def is_automatic(self) -> bool:
        """Whether the pictures decide."""
        return self.adapters == AUTO or callable(self.adapters)

    def chosen_for(self, base: Base, attached: Mapping[str, nn.Module], pixel_values: Tensor) -> Selection:
        """The same with the adapter that the pictures decided on, for each."""
        if self.adapters == AUTO:
            from lvtune.patcher.automatic import usual

            return Selection(tuple(usual()(base, attached, pixel_values)), self.prompt)
        return Selection(tuple(self.adapters(base, attached, pixel_values)), self.prompt)

    def groups(self, active: str | None, batch: int) -> list[Group]:
        """The samples under each adapter, in the order in which the adapters first come.

        Raises:
            LvtuneError: a list of another length than the batch.
        """
        names = [self.adapters] * batch if self.is_single else list(self.adapters)
        prompts = list(self.prompt) if isinstance(self.prompt, tuple) else [self.prompt] * batch
        for what, given in (("adapters", names), ("prompts", prompts)):
            if len(given) != batch:
                raise LvtuneError(f"{len(given)} {what} for a batch of {batch}", "one per sample", "give as many")
        if not batch:
            owner = self.adapters if self.is_single else None
            return [Group(active if owner is ... else owner, [], ())]
        places: dict[str | None, list[int]] = {}
        for place, name in enumerate(names):
            places.setdefault(active if name is ... else name, []).append(place)
        return [Group(owner, own, tuple(prompts[i] or None for i in own)) for owner, own in places.items()]


@dataclass(frozen=True)
class Group:
    """The samples of a batch that go under one adapter."""

    owner: str | None
    places: list[int]
    asked: tuple[str | None, ...]
    """The category asked for, for each."""

    @property
    def prompts(self) -> tuple[str | None, ...] | None:
        """One category per sample, or None where nobody asked."""
        return self.asked if any(self.asked) else None


chosen: ContextVar[dict[int, Selection]] = ContextVar("lvtune_chosen", default={})  # noqa: B039
"""id of a model to what its caller chose; never changed in place."""
running: ContextVar[dict[int, Routing]] = ContextVar("lvtune_running", default={})  # noqa: B039
"""id of a model to what the call that is under way resolved; never changed in place."""


def is_single(adapters: object) -> bool:
    """Whether a choice is one adapter, not a list of one per sample."""
    return adapters is ... or adapters is None or isinstance(adapters, str) or callable(adapters)


def as_choice(adapters: Any, prompt: Any, outer: Selection) -> Selection:
    """A caller's arguments as a selection; what is ``...`` is left as the caller outside chose it.

    Raises:
        LvtuneError: neither a name nor a list of names.
    """
    if not (is_single(adapters) or isinstance(adapters, Iterable)):
        raise LvtuneError(
            f"adapters = {adapters!r}", "a name, None, or one of these per sample", 'adapters=["sketch", None]'
        )
    names = outer.adapters if adapters is ... else adapters if is_single(adapters) else tuple(adapters)
    asked = outer.prompt if prompt is ... else tuple(prompt) if _is_list(prompt) else prompt
    return Selection(names, asked)


def _is_list(prompt: object) -> bool:
    return isinstance(prompt, Sequence) and not isinstance(prompt, str)


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
