"""Scores of a base, with or without an adapter, on a split; and what an adapter keeps of the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lvtune.core.registry import Registry

HEADLINE = ("pck@0.2", "pck@0.5", "ap")

SCORERS: Registry[Callable[..., Scores]] = Registry("task", "lvtune list domains")
"""Task of a split to what predicts and scores it: ``function(base, split, *, adapters, skeleton, category, flip_test,
batch_size) -> Scores``."""


@dataclass(frozen=True)
class Scores:
    """Predictions on a split and what they score."""

    keypoints: np.ndarray
    """(N, K, 2) in picture pixels."""
    scores: np.ndarray
    """(N, K) maxima of the heatmaps."""
    values: dict[str, Any]
    """What :func:`lvtune.evaluation.scores.score_predictions` gives, in percent."""

    main: ClassVar[str] = "pck@0.2"
    """The score that gap and retention are told in: in percent, the more the better."""

    def headline(self) -> dict[str, float | None]:
        """``pck@0.2``, ``pck@0.5`` and ``ap``; where a detector's boxes were scored too, AP under both names; of a
        mixture the means, and AP of each part under its name.
        """
        protocols = self.values.get("protocols", {})
        named = {f"ap ({boxes})": scored["ap"] for boxes, scored in protocols.items()}
        named |= {f"ap ({part})": scored["ap"] for part, scored in self.values.get("parts", {}).items()}
        for boxes, scored in protocols.items():
            named |= {f"ap ({part}, {boxes})": one["ap"] for part, one in scored.get("parts", {}).items()}
        return {name: self.values.get(name) for name in HEADLINE} | named

    def per_joint(self) -> dict[str, float | None]:
        """PCK@0.2 of each key point."""
        return self.values["per_joint"]

    def write(self, folder: Path) -> list[Path]:
        """Writes further files of the task into an existing folder; here none."""
        return []

    def curves(self) -> dict[str, Any] | None:
        """Curves to draw: ``mm`` (T,) thresholds, and name to shares (T,); here none."""
        return None


def gap_closed(target_before: float, target_after: float, source_before: float) -> float | None:
    """Share of the gap between target and source that was closed; None where there is no gap."""
    gap = source_before - target_before
    return None if gap <= 0 else (target_after - target_before) / gap


def retention(before: float | None, after: float | None) -> float | None:
    """Source score after adapting over source score before."""
    return None if not before or after is None else after / before
