"""Which samples of a call go under which adapter.

A batch under several adapters goes through the model once where it can: its samples are put in order, so that those of
one adapter lie side by side, and every site lets each adapter act on its own rows. Where it cannot (gradients are
wanted, tokens are inserted, or the base does not say how its modules lay samples out), the model is called for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

Key = tuple[int, str]
"""A site, and a key of ``lvtune.patcher.hooks.HOOKS``."""
Plan = Mapping[Key, Any]
"""What an adapter does where."""


@dataclass(frozen=True, eq=False)
class Part:
    """Samples ``start`` to ``stop`` of a call, which go under one adapter; of a call under one adapter, all."""

    plan: Plan
    categories: str | tuple[str | None, ...] | None = None
    """Category asked for, or one per sample; None where nobody asked."""
    start: int = 0
    stop: int | None = None

    def rows(self, routing: Routing, total: int) -> slice:
        """Where the samples lie in the first dimension of ``total`` rows, of which each sample has as many."""
        each = total // routing.batch
        return slice(self.start * each, self.stop * each)

    @property
    def asked(self) -> tuple[str | None, ...] | None:
        """One category per sample, or one for all; None where nobody asked."""
        return (self.categories,) if isinstance(self.categories, str) else self.categories


@dataclass(frozen=True, eq=False)
class Routing:
    """What a call resolved: its parts, first sample to last."""

    parts: tuple[Part, ...]

    @property
    def batch(self) -> int | None:
        """Samples in the call; None for one part, which has whatever comes."""
        return self.parts[-1].stop

    def apart(self, keys: Sequence[Key], total: int) -> Iterator[tuple[Routing, slice]]:
        """The calls that a module needs, with their rows of ``total``: one for each adapter that acts there (has one of
        ``keys``), one for neighbours that do not."""
        pending: list[Part] = []
        for part in (*self.parts, None):
            idle = part is not None and not any(key in part.plan for key in keys)
            if pending and not idle:
                yield (
                    Routing(_moved(pending)),
                    slice(pending[0].rows(self, total).start, pending[-1].rows(self, total).stop),
                )
                pending = []
            if idle:
                pending.append(part)
            elif part is not None:
                yield Routing(_moved([part])), part.rows(self, total)


def _moved(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts that lie side by side, as those of a call of their own."""
    first = parts[0].start
    return tuple(replace(part, start=part.start - first, stop=part.stop - first) for part in parts)


class Rows(list):
    """Samples of different shapes: one tensor (K_i, h, w) each, in the order of the batch."""


def joined(outputs: Sequence[Any]) -> Any:
    """What parts of a batch gave, as one output: tensors row behind row, structures entry by entry."""
    first = outputs[0]
    if len(outputs) == 1 or first is None:
        return first
    if any(isinstance(output, Rows) for output in outputs) or isinstance(first, Tensor):
        if all(isinstance(output, Tensor) for output in outputs) and len({output.shape[1:] for output in outputs}) == 1:
            return torch.cat(list(outputs))
        return Rows(row for output in outputs for row in output)
    if isinstance(first, Mapping):  # transformers' outputs
        return type(first)(**{name: joined([output[name] for output in outputs]) for name in first})
    entries = (joined(inner) for inner in zip(*outputs, strict=True))
    return type(first)(*entries) if hasattr(first, "_fields") else type(first)(entries)


def is_compiled(model: nn.Module) -> bool:
    """Whether some part of a model is compiled by itself."""
    return any(m._compiled_call_impl is not None or "_orig_mod" in m._modules for m in model.modules())
