"""A second stream of pictures beside those of a step, and what a base answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lvtune.core.step_part import draw_rows
from lvtune.data.dataset import collate
from lvtune.patcher.attaching import use_adapter

if TYPE_CHECKING:
    from lvtune.bases.base import Base

Batch = dict[str, Any]


class SecondPictures:
    """Gives, with every few pictures of a step, one of another data set.

    What comes with a step depends on seed, step and batch size alone, so a run that is resumed gets the same pictures,
    and so does a step that is divided. Each pass over the data set has an order of its own.

    Args:
        data: samples; the epoch of their augmentation is the number of the pass, if they have ``set_epoch``.
        every: one of them comes with so many pictures of a step, and one at least with each step.
        seed: of the orders.
    """

    def __init__(self, data: Any, every: int, seed: int) -> None:
        self.data, self.every, self.seed = data, every, seed
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, base: Base, step: int, rows: int) -> tuple[Batch | None, float]:
        """Returns the pictures that come with ``rows`` pictures of a step, and the factor on their mean loss.

        With the factor, the losses of the parts of a step add up to the mean over the whole step. None: no picture.
        """
        whole = rows

        def draw(count: int) -> Tensor:
            nonlocal whole
            whole = count  # of the undivided step
            return self._drawn(step, count)

        drawn = draw_rows(draw, rows)
        places = [place for place in drawn.tolist() if place >= 0]
        if not places:
            return None, 0.0
        samples = [self._sample(place) for place in places]
        return on_device_of(base, collate(samples)), len(places) / rows * whole / -(-whole // self.every)

    def _drawn(self, step: int, rows: int) -> Tensor:
        """(rows,) place of the picture that comes with each of a step's pictures, -1 for none."""
        wanted = np.arange(rows) % self.every == 0
        found, count = np.full(rows, -1), int(wanted.sum())
        found[wanted] = step * count + np.arange(count)
        return torch.from_numpy(found)

    def _sample(self, place: int) -> dict[str, Any]:
        """The sample at a place in endless passes over all of them."""
        turn, inside = divmod(place, len(self.data))
        if self._order is None or self._order[0] != turn:
            self._order = turn, np.random.default_rng([self.seed, turn]).permutation(len(self.data))
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(turn)
        return self.data[int(self._order[1][inside])]


def on_device_of(base: Base, batch: Batch) -> Batch:
    """Returns the batch with its tensors on the device of the base."""
    return {name: value.to(base.device) if isinstance(value, Tensor) else value for name, value in batch.items()}


def rows_of(batch: Batch, places: list[int]) -> Batch:
    """Returns some samples of a batch."""
    return {name: [value[place] for place in places] if isinstance(value, list) else value[places]
            for name, value in batch.items()}  # fmt: skip


class Answer(NamedTuple):
    """What a base says of B pictures."""

    stages: list[Tensor]
    """Heatmaps (B, K, h, w) of each stage, the last one last; most bases have one stage."""
    joints: Tensor | None
    """(B, K, 3) of hands, as in :class:`lvtune.bases.hand_nets.HandOutput`; None: it says nothing of space."""


def answer_of(base: Any, batch: Batch) -> Answer:
    """Calls a base with the pictures and the categories of a batch; hands of unknown side are taken for right ones."""
    pixels, side = batch["pixel_values"], batch.get("side")
    with use_adapter(base, category=batch["category"]):
        if base.task == "hand3d":
            found = base.hands(pixels, None if side is None else side.to(pixels.device))
            return Answer(list(found.stages), found.xyz)
        return Answer([base(pixels)], None)


def heatmaps_of_stages(base: Any, batch: Batch) -> list[Tensor]:
    """Heatmaps (B, K, h, w) of each stage; see :class:`Answer`."""
    return answer_of(base, batch).stages
