"""Chooses an adapter for each picture by the frozen base's own features: no other network is needed.

Each adapter's file holds what its pictures look like to the base (:mod:`lvtune.patcher.domain_looks`). A picture that
is like those of no adapter, or more like ordinary pictures, is left to the bare base.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from lvtune.bases.look_features import features_of_pictures, look_features
from lvtune.core.errors import UsageError
from lvtune.core.text import brief
from lvtune.patcher.domain_looks import NUMBERS, VIEWS, DomainLooks, project, read_looks

if TYPE_CHECKING:
    from lvtune.bases.attachable import Attachable
    from lvtune.bases.base import Base

FIELD = "gate"
"""The entry of an adapter's file."""
CROP, WHOLE = VIEWS


@dataclass(frozen=True)
class Choice:
    """What is chosen for one picture."""

    name: str | None
    """The adapter; None: the bare base."""
    sure: float | None
    """Probability of the choice, from 0 to 1; None where nothing tells."""
    probabilities: Mapping[str | None, float]
    """Of each adapter, and of the bare base under None; together they are 1."""


@dataclass(frozen=True)
class Gate:
    """Chooses an adapter for each sample: ``base(pixel_values, adapters=lvtune.Gate())``.

    ``adapters="auto"`` does so where the files of all attached adapters hold a gate.
    """

    threshold: float = 0.0
    """By how much the probability of an adapter must exceed that of the bare base, from -1 to 1."""

    def __post_init__(self) -> None:
        is_number = isinstance(self.threshold, numbers.Real)
        if not is_number or not -1 <= self.threshold <= 1:  # NaN is neither
            raise UsageError(f"Gate(threshold={brief(self.threshold)})", "a number from -1 to 1", "such as Gate(0.2)")

    def __call__(self, base: Base, attached: Mapping[str, Attachable], pixel_values: Tensor) -> list[str | None]:
        """Returns for each sample (B, 3, H, W) the name of an adapter, or None: the bare base.

        Raises:
            UsageError: an adapter whose file holds no gate.
        """
        return [choice.name for choice in self.look(base, attached, pixel_values)]

    def look(
        self, base: Base, adapters: Mapping[str, Attachable], pictures: Tensor | Sequence[np.ndarray]
    ) -> list[Choice]:
        """Returns what is chosen for each picture, and how sure that is.

        Args:
            base: that the adapters belong to; its own weights are used, whatever is attached.
            adapters: by name; they need not be attached.
            pictures: crops (B, 3, H, W), normalised for ``base``; or whole pictures (H, W, 3), uint8 RGB.

        Raises:
            UsageError: an adapter whose file holds no gate; whole pictures of another kind.
        """
        return self.choose(base, looks_of(adapters), pictures)

    def choose(
        self, base: Base, looks: Mapping[str, DomainLooks], pictures: Tensor | Sequence[np.ndarray]
    ) -> list[Choice]:
        """Does the same with the looks of adapters, by name, which need not be loaded."""
        if not hasattr(pictures, "__len__"):  # one picture of PIL, or what can be read only once
            raise UsageError(
                f"pictures of the type {type(pictures).__name__}", "crops (B, 3, H, W), or a list of whole pictures",
                "give a list, such as [np.asarray(image.convert('RGB'))]",
            )  # fmt: skip
        if not len(pictures):
            return []
        if not looks:
            return [Choice(None, 1.0, {None: 1.0})] * len(pictures)
        is_crop = isinstance(pictures, Tensor)
        features = look_features(base, pictures) if is_crop else features_of_pictures(base, pictures)
        rows = probabilities(looks, features, CROP if is_crop else WHOLE)
        return [self._choose(list(looks), row) for row in rows]

    def _choose(self, names: Sequence[str], row: np.ndarray) -> Choice:
        known: dict[str | None, float] = {name: float(value) for name, value in zip(names, row[:-1], strict=True)}
        known[None] = float(row[-1])
        best = names[int(row[:-1].argmax())]
        name = best if known[best] > known[None] + self.threshold else None
        return Choice(name, known[name], known)


def probabilities(looks: Mapping[str, DomainLooks], features: np.ndarray, view: str) -> np.ndarray:
    """Returns (B, A + 1) probabilities of A adapters, and last of the bare base; each row sums to 1.

    Raises:
        UsageError: the looks are of another base's features.
    """
    wrong = next((name for name, one in looks.items() if len(one.weights) != features.shape[1]), None)
    if wrong is not None:
        raise UsageError(
            f"adapter '{wrong}', whose gate has {len(looks[wrong].weights)} weights",
            f"{features.shape[1]}, for the features of this base", "load the base that it was made for",
        )  # fmt: skip
    projected = project(features)
    costs = np.stack([one.views[view].costs(projected) for one in looks.values()], 1)
    # the projected numbers are not independent: taken at face value, every choice among adapters would be certain
    likelihood = np.exp(-(costs - costs.min(1, keepdims=True)) / (2 * NUMBERS**0.5))
    share = likelihood / likelihood.sum(1, keepdims=True)
    own = share * np.stack([one.probabilities(features, view) for one in looks.values()], 1)
    return np.concatenate([own, 1 - own.sum(1, keepdims=True)], 1)


def has_gates(adapters: Iterable[Attachable]) -> bool:
    """Returns True if there are adapters, and the file of each holds a gate."""
    every = list(adapters)
    return bool(every) and all(_entry(adapter) is not None for adapter in every)


def looks_of(adapters: Mapping[str, Attachable]) -> dict[str, DomainLooks]:
    """Returns the looks of adapters by name.

    Raises:
        UsageError: an adapter whose file holds no gate.
    """
    entries = {name: _entry(adapter) for name, adapter in adapters.items()}
    return {name: with_looks(name, None if found is None else read_looks(found)) for name, found in entries.items()}


def with_looks(name: str, looks: DomainLooks | None) -> DomainLooks:
    """Returns the looks of an adapter.

    Raises:
        UsageError: there are none.
    """
    if looks is None:
        raise UsageError(
            f"adapter '{name}', whose file holds no gate", "adapters that `lvtune adapt` made of 30 pictures or more",
            'tune it again, or choose by CLIP: adapters=lvtune.Auto("FOLDER")',
        )  # fmt: skip
    return looks


def _entry(adapter: Any) -> Any:
    return (getattr(adapter, "saved_with", None) or {}).get(FIELD)
