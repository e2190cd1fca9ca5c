"""Says which part of a training step's batch is computed now, where a step is divided.

A step's batch is divided among processes, and among micro-batches by gradient accumulation. The result must not depend
on that. So what is drawn at random for each sample is drawn for the whole batch, and each part takes its own rows; and
a mean over something else than samples is a mean over the whole step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class StepPart:
    """Rows ``start`` to ``end`` of a batch of ``whole`` samples."""

    start: int
    end: int
    whole: int
    shares: Mapping[str, float] = field(default_factory=dict)
    """Name of a count to the part's share of it, such as of the hands with labels in space."""

    @property
    def share(self) -> float:
        """The part's share of the samples."""
        return (self.end - self.start) / self.whole


_part: ContextVar[StepPart | None] = ContextVar("lvtune_step_part", default=None)
_last: list[StepPart | None] = [None]
"""The same, for compiled code: not every version of torch compiles context variables. One thread tunes at a time."""


@contextlib.contextmanager
def computing(part: StepPart | None) -> Iterator[None]:
    """Says inside the block that ``part`` is computed; None: the whole step at once."""
    token, before = _part.set(part), _last[0]
    _last[0] = part
    try:
        yield
    finally:
        _part.reset(token)
        _last[0] = before


def _computed_now() -> StepPart | None:
    return _last[0] if torch.compiler.is_dynamo_compiling() else _part.get()


def draw_rows(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """Returns what ``draw`` gives for ``count`` rows, the same rows as where the step is not divided.

    Args:
        draw: number of rows to a tensor with as many, from torch's random numbers.
        count: rows of the part: its samples, or as many for each sample (windows), sample after sample.
    """
    part = _computed_now()
    if part is None or count % (part.end - part.start):
        return draw(count)
    each = count // (part.end - part.start)
    return draw(part.whole * each)[part.start * each : part.end * each]


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Dropout of (B, ...); where a step is divided, each sample is masked as if it were not."""
    if not training or not p or _computed_now() is None:  # compiled code for inference reads no context
        return F.dropout(x, p, training)
    return x * draw_rows(lambda count: F.dropout(torch.ones(count, *x.shape[1:]).to(x), p), len(x))


def attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor, p: float) -> Tensor:
    """Scaled dot-product attention (B, heads, N, D) with :func:`dropout` on the map.

    Args:
        query: (B, heads, N, D).
        key: (B, heads, M, D).
        value: (B, heads, M, D).
        mask: bool, (B, 1, 1, M); False hides a key.
        p: probability of the dropout; 0: none.
    """
    if not p or _computed_now() is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=p)
    scores = (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).masked_fill(~mask, float("-inf"))
    return dropout(scores.softmax(-1), p, True) @ value


def weight_of_mean(name: str) -> float:
    """Returns the factor on a mean over what ``name`` counts, so that the parts add up to the mean over the step.

    The parts of a step are added up with their shares of the samples as weights. A mean over something else, which the
    objective counts under ``name`` (``Objective.counts``), needs its own share instead. 1 if the step is not divided.
    """
    part = _computed_now()
    return 1.0 if part is None or name not in part.shares else part.shares[name] / part.share
