"""What is attached to a model: adapters by name, and what each of them does where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from lvtune.bases.attachable import Attachable
from lvtune.bases.changes import Pass
from lvtune.patcher.call_parts import Key, Several
from lvtune.patcher.precision import has_other_types, in_own_precision


@dataclass(eq=False)
class Entry:
    """What one adapter does where."""

    shares: bool
    """True if its samples can share a call of the model with those of other adapters."""
    acts: dict[Key, Any] = field(default_factory=dict)
    """What it does at each site, for inputs in the precision of its own weights."""
    plan: dict[Key, Any] = field(default_factory=dict)
    """The same for inputs in the precision of the base; one dict for the life of the entry."""
    passes: tuple[tuple[Entry, Pass], ...] = ()
    """The calls of the model that it needs, where it needs several; it does nothing else then."""
    join: Any = None
    """Makes the heatmaps of those of the passes."""

    @property
    def several(self) -> Several | None:
        """For the routing; None: one call is enough."""
        if not self.passes:
            return None
        return Several(tuple((entry.plan, one.category) for entry, one in self.passes), self.join)

    def fit(self, model: nn.Module, dtype: torch.dtype) -> None:
        """Fits the plan to the precision of ``model``, for an adapter whose weights are ``dtype``."""
        for entry, _ in self.passes:
            entry.fit(model, dtype)
        differs = has_other_types(model, dtype)
        self.plan.update({
            key: in_own_precision(key[1], act, dtype) if differs else act for key, act in self.acts.items()
        })  # fmt: skip


class AttachedAdapters:
    """The adapters of one model, in the order of attaching."""

    def __init__(self) -> None:
        self.by_name: dict[str, Attachable] = {}
        self.entries: dict[str | None, Entry] = {None: Entry(shares=True)}
        self.in_front: tuple[str, ...] = ()
        """Names of those that act where nobody chooses, the active one last."""

    @property
    def active(self) -> str | None:
        """Name of the adapter that acts where nobody chooses; None: the bare base."""
        names = self.in_front  # another thread may put another tuple in its place
        return names[-1] if names else None
