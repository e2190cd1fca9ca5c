"""One step of the optimiser: its gradient is the same however the batch is divided (`Division`).

The losses of the parts are added up with their shares of the samples as weights, so the sum is the mean over the whole
step. An objective whose mean is over something else counts it (``Objective.counts``), and reads its weight from
:func:`lvtune.core.step_part.weight_of_mean`. Each part starts from the same random state and draws for all samples of
the step (:func:`lvtune.core.step_part.draw_rows`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from lvtune.core.linear_products import faster_linears
from lvtune.core.step_part import StepPart, computing
from lvtune.data.worker_errors import raise_carried
from lvtune.training.objective_wrapper import Steps

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lvtune.bases.base import Base
    from lvtune.training.feature_cache import FeatureCache
    from lvtune.training.sampler import Division

Batch = dict[str, Any]


class Tunable(nn.Module):
    """Adapter plus objective as one module, so that DDP sees what is trained and nothing else."""

    def __init__(self, base: Base, adapter: nn.Module, objective: Callable[[Base, dict], Tensor]) -> None:
        super().__init__()
        self.adapter = adapter
        # what an objective trains beside the adapter, such as a projection head; most have nothing
        self.trained: nn.Module | None = getattr(objective, "trained", None)
        self.features: FeatureCache | None = None
        self._frozen = (base, objective)  # a tuple hides the base from parameters() and state_dict()

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch, a scalar."""
        base, objective = self._frozen
        with contextlib.nullcontext(batch) if self.features is None else self.features.reading(batch) as own:
            return objective(base, own)

    @property
    def counts(self) -> Callable[[Batch], dict[str, float]] | None:
        """What the objective takes means over beside samples; None: nothing."""
        return getattr(self._frozen[1], "counts", None)

    @property
    def active_negatives(self) -> Tensor | None:
        """Share of the last batch's negatives that the objective's contrast moved; None: it has no contrast."""
        return getattr(self._frozen[1], "active_negatives", None)

    def empty_loss(self, batch: Batch) -> float | None:
        """Returns the loss of an empty answer; None where the objective has none."""
        base, objective = self._frozen
        found = getattr(objective, "empty_loss", None)
        return None if found is None else found(base, batch)


@dataclass(frozen=True)
class StepLoss:
    """What one step gave, over all its samples."""

    loss: float
    empty: float | None
    """Loss of an empty answer; None: the objective has none, or it was not measured."""
    active: float | None
    """Share of negatives that a contrast moved; None: the objective has no contrast."""
    depends: bool
    """Whether the loss depends on what is trained."""


class GradientStep:
    """Computes the gradient of each step.

    Args:
        accelerator: of the run.
        tunable: whose parameters get the gradient, as it was before Accelerate wrapped it.
        wrapped: as Accelerate wrapped it.
        division: of each step's batch.
        faster: whether linear layers go by :func:`lvtune.core.linear_products.faster_linears`.
    """

    def __init__(
        self, accelerator: Accelerator, tunable: Tunable, wrapped: Any, division: Division, faster: bool = False
    ) -> None:
        self.accelerator, self.tunable, self.wrapped, self.division = accelerator, tunable, wrapped, division
        self.faster = faster
        trained = tunable.trained
        modules = () if trained is None else trained.modules()
        self._counters: list[Any] = [module for module in modules if isinstance(module, Steps)]
        self.batch: Batch = {}
        """Of the last step in this process: the first part whose loss is not finite, or the last part."""

    def backward(self, batches: Iterable[Batch], measure_empty: bool = False) -> StepLoss:
        """Adds the gradient of one step; parameters must have none.

        Args:
            batches: this process's parts, in their order.
            measure_empty: also compute the loss of an empty answer.
        """
        is_finite = depends = True
        empty = 0.0 if measure_empty else None
        total: Any = 0.0
        active: Any = None
        for part, batch, sync in self._parts(batches):
            weight = 1.0 if part is None else part.share
            with computing(part), sync, faster_linears(self.faster):
                if empty is not None:
                    found = self.tunable.empty_loss(batch)
                    empty = None if found is None else empty + weight * found
                with self.accelerator.autocast():
                    loss = self.wrapped(batch)
                depends = depends and loss.requires_grad
                if depends:
                    self.accelerator.backward(loss if part is None else loss * (weight * self.division.processes))
            if is_finite:
                self.batch, is_finite = batch, bool(torch.isfinite(loss.detach()))
            total = total + loss.detach() * weight
            share = self.tunable.active_negatives
            active = active if share is None else (active or 0.0) + weight * float(share)
        return self._added_up(StepLoss(float(total), empty, active, depends))

    def _parts(self, batches: Iterable[Batch]) -> Iterator[tuple[StepPart | None, Batch, Any]]:
        """Yields each part with its batch; gradients are exchanged after the last one only."""
        device, division = self.accelerator.device, self.division
        if division.is_whole:
            yield None, next(iter(batches)), contextlib.nullcontext()
            return
        shares, batches = self._shares(batches)
        counted = [int(counter.step) for counter in self._counters]
        state, bounds = _random_state(device), division.bounds
        for place, ((start, end), batch) in enumerate(zip(bounds, batches, strict=True)):
            if place:
                _set_random_state(state, device)
                for counter, step in zip(self._counters, counted, strict=True):
                    counter.step.fill_(step)  # it counts steps, not parts
            is_last = place == len(bounds) - 1
            sync = contextlib.nullcontext() if is_last else self.accelerator.no_sync(self.wrapped)
            yield StepPart(start, end, division.size, shares[place] if shares else {}), batch, sync

    def _shares(self, batches: Iterable[Batch]) -> tuple[list[dict[str, float]], Iterable[Batch]]:
        """Returns each part's share of what the objective counts over the whole step."""
        if self.tunable.counts is None:
            return [], batches
        batches = list(batches)
        counts = [self.tunable.counts(batch) for batch in batches]
        if not counts[0]:
            return [], batches
        names = sorted(counts[0])
        own = torch.tensor([[one[name] for name in names] for one in counts], dtype=torch.float64)
        total = self._sum(own.sum(0)).clamp(min=1e-12)
        return [dict(zip(names, row, strict=True)) for row in (own / total).tolist()], batches

    def _added_up(self, own: StepLoss) -> StepLoss:
        """Returns the values of the whole step from those of this process's parts."""
        if self.division.processes == 1:
            return own
        loss, empty, active = self._sum(torch.tensor([own.loss, own.empty or 0.0, own.active or 0.0])).tolist()
        empty, active = None if own.empty is None else empty, None if own.active is None else active
        return StepLoss(loss, empty, active, own.depends)

    def _sum(self, values: Tensor) -> Tensor:
        """Adds up small tensors of all processes."""
        if self.division.processes == 1:
            return values
        total: Any = self.accelerator.reduce(values.to(self.accelerator.device, torch.float32), "sum")
        return total.double().cpu()


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yields batches with their tensors on the device.

    Raises:
        LvtuneError: of a sample that could not be read.
    """
    send: Callable[..., Any] = send_to_device
    for batch in batches:
        raise_carried(batch)
        yield send(batch, device, non_blocking=True)
