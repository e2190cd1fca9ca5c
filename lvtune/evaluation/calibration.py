"""Turns the height and the width of a heatmap's peak into the probability that the key point is right.

The maximum of a heatmap is no probability: how high peaks are depends on how the base and the adapter were tuned. A
:class:`Calibration` is a map of a few numbers (a logistic of peak and spread, with an offset for each key point),
fitted on pictures that were neither tuned nor tested on (:mod:`lvtune.evaluation.calibration_fit`). It is monotone: a
higher peak never gives a lower probability, and a wider one never a higher.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

FEATURES = ("peak", "spread")
"""The maximum, and the logarithm of the root mean square distance from it of the map above a fifth of it, in pixels of
the heatmap."""
RADIUS_LEVEL = 0.9
"""Share of the key points whose error is at most the radius."""
HIGHEST_PEAK, LOWEST_SPREAD = 2.0, 0.1
MOST_KEYPOINTS = 1000
NOT_LEARNT = -1000.0
"""Offset of a key point that nothing taught: its probability is 0, and it has no part in the expected OKS."""
_ABOVE = 0.2
_LARGEST = 1e6


def spread_of(heatmaps: Tensor) -> Tensor:
    """Returns (B, K), how far the values above a fifth of the maximum lie from it, in pixels of the heatmap.

    With two peaks, such as those of a picture and its mirror image that disagree, it is large.

    Args:
        heatmaps: (B, K, h, w).
    """
    import torch

    height, width = heatmaps.shape[-2:]
    flat = heatmaps.flatten(2).float()
    top, place = flat.max(-1)
    weights = (flat - _ABOVE * top[..., None]).clamp(min=0)
    x = torch.arange(width, device=flat.device).repeat(height).float()
    y = torch.arange(height, device=flat.device).repeat_interleave(width).float()
    # sums of powers of x and y stand for the distances from each peak: no further map of distances is made
    moments = weights @ torch.stack([torch.ones_like(x), x, y, x * x + y * y], 1)
    total, sum_x, sum_y, squares = moments.unbind(-1)
    at_x, at_y = (place % width).float(), (place // width).float()
    squared = squares - 2 * (at_x * sum_x + at_y * sum_y) + total * (at_x**2 + at_y**2)
    return (squared / total.clamp(min=1e-12)).clamp(min=0).sqrt()


def features_of(peaks: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """Returns (N, K, 2) of the maxima of heatmaps (N, K) and of :func:`spread_of` them (N, K)."""
    peaks, spreads = np.asarray(peaks, float), np.asarray(spreads, float)
    return np.stack([np.clip(peaks, 0, HIGHEST_PEAK), np.log(np.maximum(spreads, LOWEST_SPREAD))], -1)


@dataclass(frozen=True)
class Logistic:
    """sigmoid(intercept + weights · features + the key point's offset)."""

    intercept: float
    weights: tuple[float, ...]
    """Of ``FEATURES``: the first is never negative, the second never positive."""
    offsets: tuple[float, ...]
    """K, of the key points; 0 for one without data: it has the answer of all together. ``NOT_LEARNT`` for one that
    nothing taught."""

    @property
    def is_learnt(self) -> np.ndarray:
        """(K,) False for the key points that nothing taught; True for all where there are no others."""
        found = np.array(self.offsets) > NOT_LEARNT / 2
        return found if found.any() else ~found

    def logit(self, features: np.ndarray) -> np.ndarray:
        """Returns (N, K) of features (N, K, F)."""
        return self.intercept + features @ np.array(self.weights) + np.array(self.offsets)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Returns (N, K) from 0 to 1."""
        return 1 / (1 + np.exp(-np.clip(self.logit(features), -30, 30)))


@dataclass(frozen=True)
class Confidence:
    """What a calibration says of N poses."""

    scores: np.ndarray
    """(N, K) probability that the error is within the threshold."""
    radii: np.ndarray
    """(N, K) radius within which the true point lies in nine of ten cases, as a share of the crop's height."""
    oks: np.ndarray
    """(N,) expected OKS of the whole pose."""


@dataclass(frozen=True)
class CalibrationMap:
    """The map for heatmaps of one kind."""

    hit: Logistic
    oks: Logistic
    radius: tuple[float, float]
    """Offset and slope: log(radius / height of the crop) = offset + slope · logit of the hit."""
    reach: tuple[float, float]
    """Smallest and largest logit of the data, outside which the radius is not extrapolated."""

    def __call__(self, peaks: np.ndarray, spreads: np.ndarray) -> Confidence:
        """Returns probabilities, radii and expected OKS for peaks (N, K) and spreads (N, K)."""
        features = features_of(peaks, spreads)
        logits = np.clip(self.hit.logit(features), *self.reach)
        radii = np.exp(self.radius[0] + self.radius[1] * logits)
        return Confidence(self.hit(features), radii, self.oks(features)[:, self.oks.is_learnt].mean(-1))


@dataclass(frozen=True)
class Calibration:
    """The maps of one adapter, and what they were fitted on."""

    keypoints: tuple[str, ...]
    mirrored: CalibrationMap
    """For heatmaps averaged with those of the mirrored picture (``flip_test``)."""
    plain: CalibrationMap
    """For heatmaps of the picture alone, as an exported model gives them."""
    within: str
    """When a point counts as right, in words: ``PCK@0.2 of the torso`` or ``5 px``."""
    pixels: float | None
    """The threshold in pixels of the picture; None: 0.2 of the reference length."""
    pictures: int
    points: int
    data: str
    """Name of the pictures that it was fitted on."""

    @property
    def not_learnt(self) -> list[str]:
        """Names of the key points that nothing taught."""
        return [name for name, one in zip(self.keypoints, self.plain.hit.is_learnt, strict=True) if not one]

    def of(self, flip_test: bool) -> CalibrationMap:
        """Returns the map for heatmaps with or without the mirrored picture."""
        return self.mirrored if flip_test else self.plain

    def to_dict(self) -> dict[str, Any]:
        """Returns the calibration in JSON types; :func:`read_calibration` reads it."""
        return {
            "features": list(FEATURES),
            "keypoints": list(self.keypoints),
            "maps": {"mirrored": _map_to_dict(self.mirrored), "plain": _map_to_dict(self.plain)},
            "within": self.within, "pixels": self.pixels, "radius_level": RADIUS_LEVEL,
            "pictures": self.pictures, "points": self.points, "data": self.data,
        }  # fmt: skip


def calibration_of(adapter: Any) -> Calibration | None:
    """Returns the calibration that an adapter holds; None: it holds none, or there is no adapter."""
    found = (getattr(adapter, "saved_with", None) or {}).get("calibration")
    return None if found is None else read_calibration(found)


def read_calibration(found: Any, keypoints: Sequence[str] | None = None) -> Calibration:
    """Reads what :meth:`Calibration.to_dict` wrote.

    Args:
        found: of a file of unknown origin.
        keypoints: the key points that it must be for; None: any.

    Raises:
        ValueError: it is none: something is missing, not finite, of another size, or not monotone.
    """
    table = _is(found, dict, "the calibration")
    names = tuple(_is(name, str, "a key point") for name in _is(table.get("keypoints"), list, "keypoints"))
    if not 0 < len(names) <= MOST_KEYPOINTS or (keypoints is not None and names != tuple(keypoints)):
        raise ValueError("other key points than the adapter's")
    if table.get("features") != list(FEATURES):
        raise ValueError("features that this version does not know")
    maps = _is(table.get("maps"), dict, "maps")
    pixels = table.get("pixels")
    counts = [table.get(name) for name in ("pictures", "points")]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("counts that are no whole numbers")
    return Calibration(
        names, *(_map_from(maps.get(kind), len(names)) for kind in ("mirrored", "plain")),
        within=_is(table.get("within"), str, "within")[:200], pixels=None if pixels is None else _number(pixels),
        pictures=table["pictures"], points=table["points"], data=_is(table.get("data"), str, "data")[:500],
    )  # fmt: skip


def _map_to_dict(one: CalibrationMap) -> dict[str, Any]:
    logistic = {
        name: {"intercept": part.intercept, "weights": list(part.weights), "offsets": list(part.offsets)}
        for name, part in (("hit", one.hit), ("oks", one.oks))
    }
    return {**logistic, "radius": list(one.radius), "reach": list(one.reach)}


def _map_from(found: Any, count: int) -> CalibrationMap:
    table = _is(found, dict, "a map")
    hit, oks = (_logistic_from(table.get(name), count) for name in ("hit", "oks"))
    radius, reach = (_numbers(table.get(name), 2) for name in ("radius", "reach"))
    if radius[1] > 0 or reach[0] > reach[1] or max(map(abs, radius)) > 100 or max(map(abs, reach)) > 100:
        raise ValueError("a radius that grows with the confidence, or without bounds")
    return CalibrationMap(hit, oks, (radius[0], radius[1]), (reach[0], reach[1]))


def _logistic_from(found: Any, count: int) -> Logistic:
    table = _is(found, dict, "a logistic map")
    weights = _numbers(table.get("weights"), len(FEATURES))
    if weights[0] < 0 or weights[1] > 0:
        raise ValueError("weights that are not monotone")
    return Logistic(_number(table.get("intercept")), weights, _numbers(table.get("offsets"), count))


def _numbers(found: Any, count: int) -> tuple[float, ...]:
    values = _is(found, list, "a list of numbers")
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers in place of {count}")
    return tuple(_number(value) for value in values)


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("a value that is no number")
    if abs(value) > _LARGEST:
        raise ValueError("a number that is too large")
    return float(value)


def _is(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{what} that is {type(value).__name__}")
    return value
