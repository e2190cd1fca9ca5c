"""The parts of ``report.json`` that are counted rather than computed, and its pictures."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.evaluation.task import Scores, gap_closed, retention

if TYPE_CHECKING:
    from lvtune.api.job import Job

_PACKAGES = ("torch", "transformers", "timm", "peft", "accelerate", "safetensors", "numpy")
PICTURES = 6


def environment() -> dict[str, str]:
    """Versions of what the figures depend on."""
    from lvtune.core.version import __version__

    found = {"lvtune": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def scores_table(target: dict[str, Scores | None], source: dict[str, Scores | None]) -> dict[str, Any]:
    """``target``, ``source``, ``main`` (the score that the rest tells), ``gap_closed`` and ``retention`` of the report.

    Args:
        target: ``before``, ``after_on``, ``after_off`` to scores or None.
        source: likewise.
    """
    table: dict[str, Any] = {}
    for name, side in (("target", target), ("source", source)):
        table[name] = {when: None if s is None else s.headline() for when, s in side.items()}
        table[name]["per_joint"] = {when: s.per_joint() for when, s in side.items() if s is not None}
    scored = [s for s in (*target.values(), *source.values()) if s is not None]
    table["main"] = scored[0].main if scored else Scores.main
    pick = lambda side, when: (table[side][when] or {}).get(table["main"])  # noqa: E731
    on, before, source_before = pick("target", "after_on"), pick("target", "before"), pick("source", "before")
    table["gap_closed"] = None if None in (on, before, source_before) else gap_closed(before, on, source_before)
    table["gained"] = None if None in (on, before) else on - before
    table["retention"] = {
        "on": retention(source_before, pick("source", "after_on")),
        "off": retention(source_before, pick("source", "after_off")),
    }
    return table


def pictures(job: Job, before: Scores | None, after: Scores | None) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Pairs for the report: the test pictures that changed most, for better and for worse alike.

    They are chosen by how far the key points moved, not by how well they fit, so that nothing is shown off.
    """
    if after is None or before is None:
        return []
    size = np.maximum(job.test.table.column("bbox")[:, 2:].max(1), 1)[: len(after.keypoints)]
    moved = np.linalg.norm(after.keypoints - before.keypoints, axis=-1).mean(1) / size
    order = np.argsort(-moved, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(PICTURES, len(order))).round().astype(int)]
    pairs = []
    for i in dict.fromkeys(chosen.tolist()):
        image = job.test.picture(i)
        drawn = [_drawn(image, scores, i, job) for scores in (before, after)]
        pairs.append((job.test.table[i].category.replace("_", " "), drawn[0], drawn[1]))
    return pairs


def _drawn(image: np.ndarray, scores: Scores, index: int, job: Job) -> np.ndarray:
    from lvtune.evaluation.hand_scoring import HandScores
    from lvtune.viz.hand_overlay import draw_hand, plot_hand
    from lvtune.viz.overlay import draw_pose

    points, sure = scores.keypoints[index], scores.scores[index]
    if not isinstance(scores, HandScores):
        return draw_pose(image, points, sure, job.adapter.skeleton, longest=420)
    truth = job.test.table[index].xyz
    overlay = draw_hand(image, points, longest=420)
    return np.hstack([overlay, plot_hand(scores.xyz[index], overlay.shape[0], truth=truth - truth[:1])])
