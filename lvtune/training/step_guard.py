"""Stops a run whose loss is not a number, stays zero, or does not depend on the adapter; keeps the last good state."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.core.errors import TrainingError
from lvtune.core.snapshot import snapshot
from lvtune.core.text import short
from lvtune.data.subset import Subset

if TYPE_CHECKING:
    from lvtune.bases.base import Base

SILENT_STEPS = 10
"""Steps in a row with a loss of exactly 0, or first steps without a gradient, after which a run is stopped."""
_COPIED_AT_ONCE = 500_000
"""Numbers of an adapter that are copied after every step; a larger adapter is copied less often."""
_SELDOM = 50  # steps
_SHOWN = 8


class NotFiniteError(TrainingError):
    """A loss or weights that are not a number.

    Args:
        state: the adapter's last state whose loss was finite; None: there was none but the first.
        step: steps that had led to this state.
    """

    def __init__(
        self, given: str, expected: str, fix: str, *, state: dict[str, Tensor] | None = None, step: int = 0
    ) -> None:
        super().__init__(given, expected, fix)
        self.state, self.step = state, step


class StepGuard:
    """Looks at loss and gradients of each step.

    Args:
        base: with the adapter attached.
        adapter: that is tuned.
        objective: its loss; ``terms`` of it, where it has any, are the parts of the loss.
        data: names its samples for messages, where it has a table.
        lr: highest learning rate, for messages.
    """

    def __init__(
        self, base: Base, adapter: nn.Module, objective: Callable[[Base, dict], Tensor], data: Any, lr: float
    ) -> None:
        self.base, self.adapter, self.objective, self.data, self.lr = base, adapter, objective, data, lr
        size = sum(value.numel() for value in adapter.state_dict().values())
        self._every = min(_SELDOM, 1 + size // _COPIED_AT_ONCE)
        self._good: tuple[int, dict[str, Tensor]] | None = None
        self._zeros = self._without_gradient = 0
        self._has_gradient = False

    def loss(self, value: float, step: int, batch: dict[str, Any], *, depends: bool) -> None:
        """Looks at the loss of a step before it is followed.

        Args:
            value: the loss.
            step: steps before this one.
            batch: that it is the loss of.
            depends: whether the loss has a gradient at all.

        Raises:
            TrainingError: it is not finite; it has been 0 for some steps; it does not depend on the adapter.
        """
        if not math.isfinite(value):
            raise self._not_finite(f"a loss of {value} at step {step}", batch)
        if not depends:
            raise TrainingError(
                "a loss that does not depend on the adapter", "an objective that reads what the adapter changes",
                "choose another --objective or --method",
            )  # fmt: skip
        self._zeros = self._zeros + 1 if value == 0.0 else 0
        if self._zeros >= SILENT_STEPS:
            raise self._silent(step, batch)
        if step and step % self._every == 0:
            self._good = (step, snapshot(self.adapter))

    def gradients(self, step: int, batch: dict[str, Any]) -> None:
        """Looks at the gradients of the first steps, until there are some.

        Raises:
            TrainingError: all of them have been 0 for some steps.
        """
        if self._has_gradient:
            return
        grads = [value.grad for value in self.adapter.parameters() if value.grad is not None]
        self._has_gradient = any(bool(grad.any()) for grad in grads)
        self._without_gradient += not self._has_gradient
        if not self._has_gradient and self._without_gradient >= SILENT_STEPS:
            if self._zeros:
                raise self._silent(step, batch)
            raise TrainingError(
                f"a loss that does not depend on the adapter: no gradient in {self._without_gradient} steps",
                "an objective that reads what the adapter changes", "choose another --objective or --method",
            )  # fmt: skip

    def end(self, step: int, batch: dict[str, Any] | None) -> None:
        """Looks at the adapter after the last step.

        Raises:
            TrainingError: its weights are not finite; every loss was 0, so that nothing was learnt.
        """
        if batch is None:
            return
        if _faulty_weights(self.adapter):
            raise self._not_finite(f"weights that are not finite after step {step}", batch)
        if self._zeros and self._zeros == step:
            raise self._silent(step, batch)

    def _silent(self, step: int, batch: dict[str, Any]) -> TrainingError:
        names = self._names(_all(batch), batch)
        given = (
            f"a loss of 0 in {self._zeros} steps in a row, the last at step {step} on {names}: nothing to learn from"
        )
        expected = "labelled key points inside the pictures' crops"
        return TrainingError(given, expected, "look at these samples and their boxes: lvtune check-data")

    def _not_finite(self, what: str, batch: dict[str, Any]) -> NotFiniteError:
        """The error that says the samples, the term of the loss, and what to do."""
        samples, term, fix = self._diagnosis(batch)
        state, step = (None, 0) if self._good is None else (self._good[1], self._good[0])
        given = f"{what}, on {self._names(samples, batch)} (not finite: {term})"
        return NotFiniteError(given, "a finite loss", fix, state=state, step=step)

    def _diagnosis(self, batch: dict[str, Any]) -> tuple[list[int], str, str]:
        """Indices in the batch, the term that is not finite, and what to do about it."""
        data = "look at these samples: lvtune check-data"
        for name, words in (("keypoints", "key points of the labels"), ("pixel_values", "pixels of the pictures")):
            value = batch.get(name)
            if isinstance(value, Tensor) and not torch.isfinite(value).all():
                return _rows_not_finite(value), words, data
        lower = f"lower the learning rate (--train.lr, now {self.lr:g})"
        weights = _faulty_weights(self.adapter)
        if weights:
            return _all(batch), f"the adapter's weights, such as {short(weights)}", lower
        term = self._term_not_finite(batch)
        samples = self._samples_not_finite(batch)
        return samples, f"the loss{f', term {term}' if term else ''}", f"{lower}, or {data}"

    @torch.no_grad()
    def _term_not_finite(self, batch: dict[str, Any]) -> str:
        """Name of the term of the loss that is not finite; empty where it has one term alone, or it cannot be told."""
        found = _not_finite_of(terms_of(self.objective))
        if not found and terms_of(self.objective):  # a later part of the step was finite
            with contextlib.suppress(Exception):  # the run stops anyway
                self.objective(self.base, batch)
            found = _not_finite_of(terms_of(self.objective))
        return found

    @torch.no_grad()
    def _samples_not_finite(self, batch: dict[str, Any]) -> list[int]:
        """Indices of the samples whose own loss is not finite; all where no sample's is, or it cannot be told."""
        count, found = len(_all(batch)), []
        for place in range(count):
            one = {name: _row(value, place, count) for name, value in batch.items()}
            try:
                if not math.isfinite(float(self.objective(self.base, one))):
                    found.append(place)
            except Exception:  # an objective that needs several samples; the run stops anyway
                return _all(batch)
        return found or _all(batch)

    def _names(self, places: list[int], batch: Mapping[str, Any]) -> str:
        """Numbers of samples in the data set, with their pictures."""
        index = batch.get("index")
        if index is None:
            return "the samples unknown"
        shown = []
        for item in (int(index[place]) for place in places[:_SHOWN]):
            name = picture_of(self.data, item)
            shown.append(str(item) if name is None else f"{item} ({short(name, quote=False)})")
        more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
        return f"the samples {', '.join(shown)}{more}"


def picture_of(data: Any, index: int) -> str | None:
    """Returns the picture of a sample of a data set that has a table; None where it does not say."""
    if isinstance(data, Subset):
        return picture_of(data.data, data.items[index])
    table, views = getattr(data, "table", None), getattr(data, "views", None) or (None,)
    try:
        return None if table is None else str(table[index // len(views)].image)
    except (IndexError, AttributeError, TypeError):
        return None


def terms_of(objective: Any) -> Mapping[str, Tensor]:
    """Returns the parts of the loss that an objective and the one that it wraps computed last, by name."""
    inner = getattr(objective, "pose", None)
    own = getattr(objective, "terms", None) or {}
    return {**own, **(terms_of(inner) if isinstance(getattr(inner, "terms", None), dict) else {})}


def _faulty_weights(adapter: nn.Module) -> str:
    """Name of the first tensor that is not finite; empty where there is none."""
    state = adapter.state_dict().items()
    return next((name for name, v in state if v.is_floating_point() and not torch.isfinite(v).all()), "")


def _not_finite_of(terms: Mapping[str, Tensor]) -> str:
    return next((name for name, value in terms.items() if not torch.isfinite(value).all()), "")


def _rows_not_finite(value: Tensor) -> list[int]:
    return (~torch.isfinite(value).flatten(1).all(1)).nonzero().flatten().tolist()


def _all(batch: Mapping[str, Any]) -> list[int]:
    index = batch.get("index")
    sizes = [len(value) for value in batch.values() if isinstance(value, Tensor | list)]
    return list(range(len(index) if index is not None else min(sizes, default=0)))


def _row(value: Any, place: int, count: int) -> Any:
    """One sample of a batch's entry."""
    is_batch = isinstance(value, Tensor | list) and len(value) == count
    return value[place : place + 1] if is_batch else value
