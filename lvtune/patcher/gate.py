"""How far a picture is from the domains of the base and of adapters, by the frozen base's own features.

No other network is needed, so it works without CLIP's weights. A picture's features are mean and standard deviation of
each channel of the feature map that enters the base's head, with no adapter on, projected at random (the same projection
for all adapters of a base) onto a few numbers. An adapter's file holds mean and covariance of these numbers for the
pictures that it was tuned on, and for pictures of the source where there were some. A Gaussian with shrunk covariance
says how near a picture is to each (as in Lee et al., NeurIPS 2018, arXiv 1807.03888).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lvtune.core.context import choose_adapters
from lvtune.core.errors import UsageError
from lvtune.data.crop import box_to_center_scale, fix_aspect, udp_matrix, warp

if TYPE_CHECKING:
    from lvtune.bases.attachable import Attachable
    from lvtune.bases.base import Base

NUMBERS = 32
"""Numbers that the features of a picture are projected onto."""
LEAST = 30
"""Pictures from which mean and covariance of a domain are computed, at the least."""
SHRINK = 0.1
"""Share of the covariance that is replaced by its mean variance (as in Ledoit and Wolf, 2004, with a fixed share)."""
FAR = 3.0
"""A picture whose squared distance is so many times the median of a domain's own pictures lies outside of it."""
_LARGEST = 1e6


@dataclass(frozen=True)
class Region:
    """Where the pictures of one domain lie among the base's features."""

    mean: np.ndarray
    """(N,) of the projected features."""
    covariance: np.ndarray
    """(N, N)."""
    median: float
    """Median squared distance of the domain's own pictures."""

    def __post_init__(self) -> None:
        size = len(self.mean)
        variance = max(float(np.trace(self.covariance)) / size, 1e-12)
        shrunk = (1 - SHRINK) * self.covariance + SHRINK * variance * np.eye(size)
        object.__setattr__(self, "_inverse", np.linalg.inv(shrunk))
        object.__setattr__(self, "_volume", float(np.linalg.slogdet(shrunk)[1]))

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Returns (B,) squared distances of features (B, N), in units of the domain's own spread."""
        away = features - self.mean
        return np.einsum("bi,ij,bj->b", away, self._inverse, away)  # type: ignore[attr-defined]

    def costs(self, features: np.ndarray) -> np.ndarray:
        """Returns (B,) twice the negative logarithm of the likelihood, up to a constant."""
        return self.distances(features) + self._volume  # type: ignore[attr-defined]

    def to_dict(self) -> dict[str, Any]:
        """Returns mean, upper triangle of the covariance and median in JSON types."""
        upper = self.covariance[np.triu_indices(len(self.mean))]
        return {"mean": _short(self.mean), "covariance": _short(upper), "median": float(f"{self.median:.6g}")}


def region_of(features: np.ndarray) -> Region | None:
    """Returns the region of a domain's pictures (M, N); None of fewer than ``LEAST``."""
    if len(features) < LEAST:
        return None
    mean, covariance = features.mean(0), np.cov(features.T)
    own = Region(mean, covariance, 1.0)
    return Region(mean, covariance, float(np.median(own.distances(features))))


def read_region(found: Any) -> Region:
    """Reads what :meth:`Region.to_dict` wrote.

    Raises:
        ValueError: it is none: numbers that are missing, not finite or too large; no covariance.
    """
    if not isinstance(found, dict):
        raise ValueError("a domain's region that is no object")
    mean = _numbers(found.get("mean"), NUMBERS)
    upper = _numbers(found.get("covariance"), NUMBERS * (NUMBERS + 1) // 2)
    (median,) = _numbers([found.get("median")], 1)
    covariance = np.zeros((NUMBERS, NUMBERS))
    covariance[np.triu_indices(NUMBERS)] = upper
    covariance = covariance + np.triu(covariance, 1).T
    if median <= 0 or np.linalg.eigvalsh(covariance).min() < -1e-3 * max(np.trace(covariance), 1e-12):
        raise ValueError("a domain's region that is no covariance")
    return Region(mean, covariance, median)


def check_gate(found: Any) -> None:
    """Checks the entry ``gate`` of an adapter's file: ``target``, and ``source`` or None.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(found, dict) or "target" not in found:
        raise ValueError("a gate without a target")
    read_region(found["target"])
    if found.get("source") is not None:
        read_region(found["source"])


@dataclass(frozen=True)
class Choice:
    """What the gate says of one picture."""

    name: str | None
    """The adapter; None: the bare base."""
    sure: float
    """From 0.5 or less (a guess) to 1, how much likelier the choice is than the next; no calibrated probability."""
    far: float
    """Squared distance from the domain chosen, over the median of its own pictures: 1 is usual, above ``FAR`` outside."""


class Gate:
    """Chooses an adapter for each sample by the base's own features: ``base(pixel_values, adapters=lvtune.Gate())``.

    Chosen is the adapter whose own pictures are most like the picture, unless the source's are more like it, or it is
    far from those of all adapters; then the bare base is chosen.
    """

    def __call__(self, base: Base, attached: Mapping[str, Attachable], pixel_values: Tensor) -> list[str | None]:
        """Returns for each sample (B, 3, H, W) the name of an adapter, or None.

        Raises:
            UsageError: an adapter whose file holds no gate.
        """
        return [choice.name for choice in self.look(base, attached, pixel_values)]

    def look(self, base: Base, adapters: Mapping[str, Attachable], pixel_values: Tensor) -> list[Choice]:
        """Returns what is chosen for each sample, and how sure that is.

        Raises:
            UsageError: an adapter whose file holds no gate.
        """
        if not len(pixel_values):
            return []
        targets, sources = _regions(adapters)
        if not targets:
            return [Choice(None, 1.0, 0.0)] * len(pixel_values)
        features = features_of(base, pixel_values)
        names: list[str | None] = [*targets, *[None] * len(sources)]
        regions = [*targets.values(), *sources]
        costs = np.stack([region.costs(features) for region in regions], 1)
        far = np.stack([region.distances(features) / region.median for region in regions], 1)
        return [_choose(names, cost, away) for cost, away in zip(costs, far, strict=True)]


def _choose(names: Sequence[str | None], costs: np.ndarray, far: np.ndarray) -> Choice:
    best = int(costs.argmin())
    name = names[best]
    others = [cost for other, cost in zip(names, costs, strict=True) if other != name]
    # features are not independent: the difference is taken per number, or every choice would be certain
    lead = (min(others) - costs[best]) / (2 * NUMBERS**0.5) if others else FAR - far[best]
    sure = 1 / (1 + math.exp(-float(np.clip(lead, -30, 30))))
    if name is not None and far[best] > FAR:
        return Choice(None, 1 / (1 + math.exp(-float(np.clip(far[best] - FAR, 0, 30)))), float(far[best]))
    return Choice(name, sure, float(far[best]))


def has_gates(adapters: Iterable[Attachable]) -> bool:
    """Returns True if there are adapters, and the file of each holds a gate."""
    every = list(adapters)
    return bool(every) and all(_gate_of(adapter) is not None for adapter in every)


def _gate_of(adapter: Any) -> Mapping[str, Any] | None:
    return (getattr(adapter, "saved_with", None) or {}).get("gate")


def _regions(adapters: Mapping[str, Attachable]) -> tuple[dict[str, Region], list[Region]]:
    """The regions of the adapters' pictures, and of their sources."""
    targets, sources = {}, []
    for name, adapter in adapters.items():
        gate = _gate_of(adapter)
        if gate is None:
            raise UsageError(
                f"adapter '{name}', whose file holds no gate", "one that `lvtune adapt` made with 30 pictures or more",
                'tune it again, or choose by CLIP: adapters=lvtune.Auto("FOLDER")',
            )  # fmt: skip
        targets[name] = read_region(gate["target"])
        if gate.get("source") is not None:
            sources.append(read_region(gate["source"]))
    return targets, sources


@torch.no_grad()
def features_of(base: Base, pixel_values: Tensor) -> np.ndarray:
    """Returns (B, N) projected features of normalised pictures (B, 3, H, W); no adapter acts."""
    kept: list[Tensor] = []
    hook = base.head.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    try:
        with choose_adapters(base.model, None):
            base(pixel_values.to(base.device))
    finally:
        hook.remove()
    maps = kept[0].detach().float().flatten(2)
    found = torch.cat([maps.mean(-1), maps.std(-1)], 1).cpu().numpy().astype(float)
    return found @ _projection(found.shape[1])


def _projection(size: int) -> np.ndarray:
    return np.random.default_rng(size).standard_normal((size, NUMBERS)) / size**0.5


def whole_pictures(base: Base, pictures: Sequence[np.ndarray]) -> Tensor:
    """Returns whole pictures (H, W, 3), uint8 RGB, as samples (B, 3, h, w) for a base, normalised."""
    mean, std = (np.asarray(values, np.float32) * 255 for values in (base.mean, base.std))
    rows = []
    for image in pictures:
        box = np.array([0.0, 0.0, image.shape[1], image.shape[0]])
        center, scale = box_to_center_scale(box, padding=1.0)
        crop = warp(image, udp_matrix(center, fix_aspect(scale, base.input_size), 0.0, base.input_size), base.input_size)
        rows.append(((crop - mean) / std).transpose(2, 0, 1).astype(np.float32))
    return torch.from_numpy(np.stack(rows))


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _numbers(found: Any, count: int) -> np.ndarray:
    if not isinstance(found, list) or len(found) != count:
        raise ValueError(f"numbers in place of which {count} are needed")
    fine = all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= _LARGEST for v in found)
    if not fine:
        raise ValueError("values that are no numbers of usual size")
    return np.array(found, float)
