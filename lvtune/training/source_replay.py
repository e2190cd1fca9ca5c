"""Replays pictures of the source while an adapter is tuned, so that the tuned change costs the source little.

Each step sees some further pictures. What the adapter is to answer on them is either their labels (rehearsal) or what
the base answers with the adapter off (distillation, as in Learning without Forgetting, Li and Hoiem, ECCV 2016, arXiv
1606.09282; there on the new task's pictures). The second way needs no labels. The base is there once: for its own
answer the adapter is switched off. That answer is the mean over the picture and its mirror image, which is a little
better than the answer to the picture alone, so that what is lost elsewhere can be made up for.
"""

from __future__ import annotations

import contextlib
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
    from collections.abc import Iterator, Mapping

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


@torch.no_grad()
def base_answers(base: Base, pixels: Tensor) -> Tensor:
    """Returns what the base answers with every adapter off, the mean over picture and mirror image.

    Args:
        base: with or without adapters.
        pixels: (B, 3, H, W).

    Returns:
        Heatmaps (B, K, h, w). Without known mirror pairs those of the picture alone.
    """
    kind: Any = base.skeleton
    with use_adapter(base, None):
        heatmaps = base(pixels)
        if not kind.mirrors:
            return heatmaps
        index = torch.as_tensor(kind.flip_index, device=pixels.device)
        return (heatmaps + base(pixels.flip(-1)).flip(-1)[:, index]) / 2


@dataclass(frozen=True)
class Replay:
    """What is replayed.

    Args:
        pool: samples of :class:`lvtune.data.dataset.PoseDataset`.
        every: one of them comes with so many samples of a step.
        weight: of the term in the loss.
        with_labels: True: they are to get their labels; False: the base's own answers.
        seed: of the order.
    """

    pool: Any
    every: int
    weight: float
    with_labels: bool
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
        self.replay.pool.set_epoch(step)  # other random changes each time
        more = collate([self.replay.pool[item] for item in own])
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
        target, weight = self.answers(base, batch)
        return keypoint_mse(heatmaps, target, weight)

    def answers(self, base: Base, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the heatmaps (B, K, h, w) that are to be answered, and the weight of each key point (B, K)."""
        if self.replay.with_labels:
            return base.codec.encode(batch["keypoints"].to(base.device), batch["visible"].to(base.device))
        target = base_answers(base, batch["pixel_values"].to(base.device))
        return target, target.new_ones(target.shape[:2])

    def _drawn(self, step: int, rows: int) -> Tensor:
        """(rows,) number of the replayed picture that comes with each sample of a step, -1 for none."""
        wanted = np.arange(rows) % self.replay.every == 0
        found, count = np.full(rows, -1), int(wanted.sum())
        found[wanted] = [self._item(int(place)) for place in step * count + np.arange(count)]
        return torch.from_numpy(found)

    def _item(self, place: int) -> int:
        """The picture at a place in endless passes over all of them, each in an order of its own."""
        turn, inside = divmod(place, len(self.replay.pool))
        if self._order is None or self._order[0] != turn:
            drawn = np.random.default_rng([self.replay.seed, turn]).permutation(len(self.replay.pool))
            self._order = turn, drawn
        return int(self._order[1][inside])
