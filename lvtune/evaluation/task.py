"""Scores of a base, with or without an adapter, on a split; and what an adapter keeps of the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.core.registry import Registry
from lvtune.evaluation.inference import predict_split
from lvtune.evaluation.scores import score_predictions

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split

HEADLINE = ("pck@0.2", "pck@0.5", "ap")

SCORERS: Registry[Callable[..., Scores]] = Registry("task", "lvtune list domains")
"""Task of a split to what predicts and scores it: ``function(base, split, *, adapters, skeleton, prompt, flip_test,
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

    def write(self, folder: Path, title: str = "") -> list[Path]:
        """Writes what a task leaves behind besides its scores (here nothing) into an existing folder."""
        return []


def score_split(base: Base, split: Split, **options: Any) -> Scores:
    """Predicts a split and scores the predictions as its task says; ``options`` as for :func:`score_poses`."""
    return SCORERS.get(split.task)(base, split, **options)


@SCORERS.register("pose2d")
def score_poses(
    base: Base,
    split: Split,
    *,
    adapters: object = ...,
    skeleton: Skeleton | None = None,
    prompt: str | None = "category",
    flip_test: bool = True,
    batch_size: int = 32,
) -> Scores:
    """Predicts every person of a split and scores the predictions.

    Args:
        base: with or without an adapter attached.
        split: what :meth:`lvtune.domains.Domain.open` gives; where it has a detector's boxes, both protocols are
            scored, and ``values["protocols"]`` holds AP under the name of each.
        adapters: as for :func:`lvtune.use_adapter`.
        skeleton: the key points predicted, where an adapter's differ from the base's.
        prompt: ``category`` reads each person's own sentence; a name is used for all; None: the mean sentence.
        flip_test: average with the mirrored picture.
        batch_size: pictures at a time.

    Raises:
        LvtuneError: the split's key points are not the predicted ones.
    """
    skeleton = skeleton or base.skeleton
    if split.table.skeleton.keypoints != skeleton.keypoints:
        theirs = split.table.skeleton
        raise LvtuneError(
            f"data with {len(theirs.keypoints)} key points ({', '.join(theirs.keypoints[:3])}, ...)",
            f"the {len(skeleton.keypoints)} that are predicted ({', '.join(skeleton.keypoints[:3])}, ...)",
            "adapt with a method that trains a predictor for this skeleton, or choose another base",
        )
    keypoints, scores = predict_split(
        base,
        split,
        skeleton=skeleton,
        adapters=adapters,
        prompt=prompt,
        flip_test=flip_test,
        batch_size=batch_size,
    )
    values = score_predictions(split.table, keypoints, scores)
    if split.detected is not None:
        found = replace(split, table=split.detected, detected=None)
        asked = {"skeleton": skeleton, "adapters": adapters, "prompt": prompt, "flip_test": flip_test}
        detected = score_predictions(found.table, *predict_split(base, found, batch_size=batch_size, **asked), ("ap",))
        parts = (values, detected | {"box_format": found.table.box_format})
        kept = ("ap", "ap_details", "box_format", "parts")
        values["protocols"] = {part["boxes"]: {k: part[k] for k in kept if k in part} for part in parts}
    return Scores(keypoints, scores, values)


def gap_closed(target_before: float, target_after: float, source_before: float) -> float | None:
    """Share of the gap between target and source that was closed; None where there is no gap."""
    gap = source_before - target_before
    return None if gap <= 0 else (target_after - target_before) / gap


def retention(before: float | None, after: float | None) -> float | None:
    """Source score after adapting over source score before."""
    return None if not before or after is None else after / before


# files itself under its task
from lvtune.evaluation import hand_scoring  # noqa: E402, F401
