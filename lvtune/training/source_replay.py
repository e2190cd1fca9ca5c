"""Replays pictures of the source while an adapter is tuned, so that the tuned change costs the source little.

Each step sees some further pictures. What the adapter is to answer on them stands in their samples: their labels
(rehearsal), or what the base itself answers (distillation, as in Learning without Forgetting, Li and Hoiem, ECCV 2016,
arXiv 1606.09282; there on the new task's pictures). See :mod:`lvtune.api.base_answers`.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lvtune.core.step_part import draw_rows
from lvtune.data.dataset import collate
from lvtune.patcher.attaching import acting, use_adapter
from lvtune.training.losses import keypoint_mse
from lvtune.training.objective_wrapper import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lvtune.bases.base import Base

Batch = dict[str, Any]
TERM = "replayed pictures"
"""Name of the term."""


@contextlib.contextmanager
def still_statistics(adapter: Any) -> Iterator[None]:
    """Inside, BatchNorms that an adapter trains normalise as in evaluation, and their statistics stay.

    Statistics that follow the target's pictures change the source's answers, and no gradient can hold that back. A
    batch of the source has other statistics than one of the target; no prediction normalises each by its own.
    """
    found = [one for one in followers(adapter) if one.training]
    for one in found:
        one.train(False)
    try:
        yield
    finally:
        for one in found:
            one.train(True)


def followers(adapter: Any) -> list[Any]:
    """Returns the normalisations of an adapter whose statistics follow the batches."""
    modules = () if adapter is None else adapter.modules()
    return [one for one in modules if getattr(one, "running_mean", None) is not None]


@dataclass(frozen=True)
class Replay:
    """What is replayed.

    Args:
        opened: gives the samples of :class:`lvtune.data.dataset.PoseDataset`, with the points that are to be answered;
            called once, at the first step.
        every: one of them comes with so many samples of a step.
        weight: of the term in the loss.
        seed: of the order.
    """

    opened: Callable[[], Any]
    every: int
    weight: float
    seed: int = 0


class SourceReplay:
    """An objective plus the error on replayed pictures; all else is as the objective has it.

    Args:
        inner: a prepared objective.
        replay: what is added.
    """

    def __init__(self, inner: Any, replay: Replay) -> None:
        self.inner, self.replay = inner, replay
        self.steps = Steps()
        parts = {"replay": self.steps} if inner.trained is None else {"replay": self.steps, "inner": inner.trained}
        self.trained = nn.ModuleDict(parts)
        self.terms: Mapping[str, Any] = {}
        self.notes: tuple[str, ...] = tuple(inner.notes)
        self._order: tuple[int, np.ndarray] | None = None

    @functools.cached_property
    def pool(self) -> Any:
        """The samples that are replayed."""
        return self.replay.opened()

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not made yet
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __call__(self, base: Base, batch: Batch) -> Tensor:
        """Loss of one batch, a scalar."""
        with still_statistics(acting(base)):
            return self._loss(base, batch)

    def _loss(self, base: Base, batch: Batch) -> Tensor:
        step, count = self.steps.next(), len(batch["index"])
        loss = self.inner(base, batch)
        self.terms = self.inner.terms or {"pictures to tune on": loss.detach()}
        own = [item for item in draw_rows(lambda rows: self._drawn(step, rows), count).tolist() if item >= 0]
        if not own:
            return loss
        self.pool.set_epoch(step)  # other random changes each time
        more = collate([self.pool[item] for item in own])
        # a mean over the rows of the whole step, however they are divided
        term = self.error(base, more) * (self.replay.weight * len(own) * self.replay.every / count)
        self.terms = {**self.terms, TERM: term.detach()}
        return loss + term

    def error(self, base: Base, batch: Batch) -> Tensor:
        """Mean squared error of the adapter's heatmaps on replayed samples; a scalar."""
        pixels = batch["pixel_values"].to(base.device)
        # the mean sentence is what source pictures are scored with
        with use_adapter(base, category=None):
            heatmaps = base(pixels)  # (B, K, h, w)
        target, weight = base.codec.encode(batch["keypoints"].to(base.device), batch["visible"].to(base.device))
        return keypoint_mse(heatmaps, target, weight)

    def _drawn(self, step: int, rows: int) -> Tensor:
        """(rows,) number of the replayed picture that comes with each sample of a step, -1 for none."""
        wanted = np.arange(rows) % self.replay.every == 0
        found, count = np.full(rows, -1), int(wanted.sum())
        found[wanted] = [self._item(int(place)) for place in step * count + np.arange(count)]
        return torch.from_numpy(found)

    def _item(self, place: int) -> int:
        """The picture at a place in endless passes over all of them, each in an order of its own."""
        turn, inside = divmod(place, len(self.pool))
        if self._order is None or self._order[0] != turn:
            drawn = np.random.default_rng([self.replay.seed, turn]).permutation(len(self.pool))
            self._order = turn, drawn
        return int(self._order[1][inside])
