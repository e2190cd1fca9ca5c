"""Builds the parts of ``report.json`` that follow from scores and boxes."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.evaluation.metrics import is_less_better
from lvtune.evaluation.task import DEFAULT_MAIN, Scores, gained, gap_closed, retention

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvtune.domains import Split

_PACKAGES = ("torch", "transformers", "timm", "peft", "accelerate", "safetensors", "numpy")


def environment() -> dict[str, str]:
    """Returns the versions of the packages that the figures depend on."""
    from lvtune.core.version import __version__

    found = {"lvtune": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def scores_table(target: dict[str, Scores | None], source: dict[str, Scores | None]) -> dict[str, Any]:
    """Builds ``target``, ``source``, ``main``, ``scoring``, ``gap_closed``, ``gained`` and ``retention`` of the report.

    ``main`` is the score that the last three are computed from: a percentage, the more the better, or an error, the
    less the better. ``gained`` is positive where the score is better after adapting.

    Args:
        target: ``before``, ``after_on``, ``after_off`` to scores or None.
        source: likewise.
    """
    table: dict[str, Any] = {}
    for name, side in (("target", target), ("source", source)):
        table[name] = {when: None if s is None else s.headline() for when, s in side.items()}
        table[name]["per_joint"] = {when: s.per_joint() for when, s in side.items() if s is not None}
    scored = [s for s in (*target.values(), *source.values()) if s is not None]
    main = table["main"] = scored[0].main if scored else DEFAULT_MAIN
    table["scoring"] = {
        name: next((s.values.get("scoring") for s in side.values() if s is not None), None)
        for name, side in (("target", target), ("source", source))
    }

    def score(side: str, when: str) -> float | None:
        return (table[side][when] or {}).get(main)

    less = is_less_better(main)
    on, before, source_before = score("target", "after_on"), score("target", "before"), score("source", "before")
    table["gap_closed"] = None
    if on is not None and before is not None and source_before is not None:
        table["gap_closed"] = gap_closed(before, on, source_before, less)
    table["gained"] = gained(before, on, less)
    table["retention"] = {
        name: retention(source_before, score("source", when), less)
        for name, when in (("on", "after_on"), ("off", "after_off"))
    }
    return table


def box_statistics(split: Split) -> dict[str, Any] | None:
    """Returns the boxes' share of their picture (``median_share``, ``smallest_share``), their number ``boxes``, and
    the pictures' median size ``picture_size`` (width, height).

    An adapter file keeps them under ``training``, so that ``predict`` notices whole frames given to an adapter that was
    tuned on small boxes. None for hands in 3D, which are cropped to their joints.
    """
    if split.task != "pose2d":
        return None
    table = split.table
    picture = table.column("width") * table.column("height")
    share = table.column("bbox")[:, 2:].prod(1) / np.maximum(picture, 1)
    if not len(share):
        return None
    median, least = float(np.median(share)), float(share.min())
    size = [round(float(np.median(table.column(side))), 1) for side in ("width", "height")]
    return {
        "median_share": round(median, 4), "smallest_share": round(least, 4), "boxes": len(share), "picture_size": size,
    }  # fmt: skip


def confidence_of(scores: Scores | None) -> float | None:
    """Returns the median of the poses' mean scores on the test pictures; None before they are scored.

    An adapter file keeps it under ``training``, so that ``predict`` notices pictures on which it is far less sure.
    """
    if scores is None or not len(scores.scores):
        return None
    return round(float(np.median(np.mean(scores.scores, axis=1))), 4)


def active_negatives(shares: Sequence[float]) -> dict[str, float] | None:
    """Returns the share of a contrast's negatives that it moved: ``mean``, and of the ``first`` and ``last`` tenth.

    Args:
        shares: of each step; empty without a contrast, whose answer is None.
    """
    if not shares:
        return None
    part = max(1, len(shares) // 10)
    parts = {"mean": shares, "first": shares[:part], "last": shares[-part:]}
    return {name: round(float(np.mean(values)), 4) for name, values in parts.items()}
