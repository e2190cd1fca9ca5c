"""The parts of ``report.json`` that are counted rather than computed, and its pictures."""

from __future__ import annotations

import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.evaluation.evaluate import Scores, gap_closed, retention

if TYPE_CHECKING:
    from lvtune.api.job import Job

_PACKAGES = ("torch", "transformers", "timm", "peft", "accelerate", "safetensors", "numpy")
PICTURES = 6


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def environment() -> dict[str, str]:
    """Versions of what the figures depend on."""
    from lvtune import __version__

    found = {"lvtune": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def scores_table(target: dict[str, Scores | None], source: dict[str, Scores | None]) -> dict[str, Any]:
    """``target``, ``source``, ``gap_closed`` and ``retention`` of the report.

    Args:
        target: ``before``, ``after_on``, ``after_off`` to scores or None.
        source: likewise.
    """
    table: dict[str, Any] = {}
    for name, side in (("target", target), ("source", source)):
        table[name] = {when: None if s is None else s.headline() for when, s in side.items()}
        table[name]["per_joint"] = {when: s.values["per_joint"] for when, s in side.items() if s is not None}
    pick = lambda side, when: (table[side][when] or {}).get("pck@0.2")  # noqa: E731
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
    from lvtune.data.images import read_image
    from lvtune.viz.overlay import draw_pose

    if after is None or before is None:
        return []
    size = np.maximum(job.test.table.column("bbox")[:, 2:].max(1), 1)[: len(after.keypoints)]
    moved = np.linalg.norm(after.keypoints - before.keypoints, axis=-1).mean(1) / size
    order = np.argsort(-moved, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(PICTURES, len(order))).round().astype(int)]
    pairs = []
    for i in dict.fromkeys(chosen.tolist()):
        person = job.test.table[i]
        image = read_image(job.test.table.image_path(i))
        if job.test.render is not None:
            image = job.test.render(image, person.category, person.index)
        drawn = [
            draw_pose(image, scores.keypoints[i], scores.scores[i], job.adapter.skeleton, longest=420)
            for scores in (before, after)
        ]
        pairs.append((person.category.replace("_", " "), drawn[0], drawn[1]))
    return pairs
