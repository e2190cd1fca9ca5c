"""Scores of a base, with or without an adapter, on a split; and the shares that an adapter gains and keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.registry import Registry

HEADLINE = ("pck@0.2", "pck@0.5", "ap", "px_mean", "px_median", "px_rms", "px_per_keypoint", "px_cutoff")
"""Scores that a report holds of each side."""
DEFAULT_MAIN = "pck@0.2"

SCORERS: Registry[Callable[..., Scores]] = Registry("task", "lvtune list domains")
"""Task of a split to the function that predicts and scores it: ``function(base, split, *, adapters, skeleton, category,
flip_test, batch_size, p_cutoff) -> Scores``."""


@dataclass(frozen=True)
class Scores:
    """Predictions on a split and their scores."""

    keypoints: np.ndarray
    """(N, K, 2) in picture pixels."""
    scores: np.ndarray
    """(N, K) maxima of the heatmaps."""
    values: dict[str, Any]
    """What :func:`lvtune.evaluation.scores.score_predictions` gives; ``main``, ``scoring``."""
    detected: Scores | None = field(default=None, kw_only=True)
    """Predictions for a detector's boxes in the same pictures; None: without."""
    evidence: Any = field(default=None, kw_only=True, repr=False)
    """The :class:`lvtune.evaluation.inference.Evidence` of the predictions; None: of other tasks."""

    @property
    def main(self) -> str:
        """Key of the score that gap and retention are computed from."""
        return self.values.get("main", DEFAULT_MAIN)

    def headline(self) -> dict[str, Any]:
        """Returns the scores of a report, by name.

        PCK and AP in percent, errors in pixels; where a detector's boxes were scored too, AP under both names; of a
        mixture the means, and AP of each part under its name.
        """
        protocols = self.values.get("protocols", {})
        named = {f"ap ({boxes})": scored["ap"] for boxes, scored in protocols.items()}
        named |= {f"ap ({part})": scored["ap"] for part, scored in self.values.get("parts", {}).items()}
        for boxes, scored in protocols.items():
            named |= {f"ap ({part}, {boxes})": one["ap"] for part, one in scored.get("parts", {}).items()}
        return {name: self.values.get(name) for name in HEADLINE} | named

    def per_joint(self) -> dict[str, float | None]:
        """Returns PCK@0.2 of each key point; where errors in pixels are the main score, the mean error of each."""
        return self.values["px_per_keypoint" if self.main == "px_mean" else "per_joint"]

    def write(self, folder: Path) -> list[Path]:
        """Writes further files of the task into an existing folder; here none."""
        return []

    def curves(self) -> dict[str, Any] | None:
        """Returns curves to draw: ``mm`` (T,) thresholds, and name to shares (T,); here none."""
        return None


def gap_closed(
    target_before: float, target_after: float, source_before: float, less_is_better: bool = False
) -> float | None:
    """Returns the share of the gap between target and source that was closed; None where there is no gap."""
    sign = -1 if less_is_better else 1
    gap = sign * (source_before - target_before)
    return None if gap <= 0 else sign * (target_after - target_before) / gap


def gained(before: float | None, after: float | None, less_is_better: bool = False) -> float | None:
    """Returns by how much the score is better after adapting, in its own unit; None where one is missing."""
    if before is None or after is None:
        return None
    return before - after if less_is_better else after - before


def retention(before: float | None, after: float | None, less_is_better: bool = False) -> float | None:
    """Returns the share of the source score that is kept: after over before; of an error, before over after."""
    if less_is_better:
        before, after = after, before
    return None if not before or after is None else after / before
