"""Fits the gate of a tuned adapter: what its pictures look like to the base, beside ordinary pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from lvtune.api.open_data import find_source_of
from lvtune.bases.look_features import crop_of, look_features, look_layer, whole_picture
from lvtune.config.options import DataOptions
from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError
from lvtune.core.work_progress import tracked
from lvtune.data.mixed import MixedTable
from lvtune.data.subset import nested_order
from lvtune.data.table import PoseTable
from lvtune.domains.domain import NO_BOXES
from lvtune.domains.find_domain import get_domain
from lvtune.patcher.domain_looks import LEAST, VIEWS, fit_looks

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.bases.base import Base
    from lvtune.domains import Split

MOST = 200
"""Pictures of either kind that are looked at; more changed the accuracy by less than a point (benchmarks/README.md)."""
SHIPPED = "demo-art"
"""The domain whose photographs ship: ordinary pictures where a run has no source."""
WHAT = "gate"
_AT_ONCE = 32


def gate_of(job: Job) -> tuple[dict[str, Any] | None, Decision]:
    """Fits the gate on pictures that were tuned on, and says on what.

    Returns:
        The entry of the adapter's file, or None where there is none; and what is to be said of it.
    """
    why = _missing(job)
    if why:
        return None, Decision(WHAT, "none", f"{why}: adapters are chosen by CLIP")
    base, seed = job.base, job.recipe.seed
    ordinary, against = _ordinary(job)
    try:
        target = _features(base, job.train, seed, "looking at the pictures", varied=False)
        other = _features(base, ordinary, seed, "looking at ordinary pictures", varied=True)
        looks = fit_looks(target, other, look_layer(base), against)
    except (LvtuneError, ValueError) as error:  # the run is not lost for it
        said = error.given if isinstance(error, LvtuneError) else str(error)
        return None, Decision(WHAT, "none", f"{said}: adapters are chosen by CLIP")
    count = f"{looks.pictures} pictures that were tuned on, beside {looks.ordinary} of {against}"
    return looks.to_dict(), Decision(WHAT, f"tells {looks.right:.0%} apart", count)


def _missing(job: Job) -> str:
    """Why there can be no gate; empty where there can."""
    recipe, table = job.recipe, job.train.table
    if not recipe.gate:
        return "the recipe says none"
    if recipe.text_only or recipe.data.shots == 0:
        return "no labelled picture of the target was tuned on"
    if job.train.task != "pose2d" or not isinstance(table, PoseTable | MixedTable):
        return "only for poses in pictures"
    count = len(set(table.column("image").astype(str)))
    return "" if count >= LEAST else f"{count} pictures were tuned on; it takes {LEAST}"


def _ordinary(job: Job) -> tuple[Split, str]:
    """Pictures of the source that no score is computed on, or the photographs that ship; and what they are."""
    recipe = job.recipe
    try:
        found = find_source_of(job.domain, job.base.spec, replace(recipe.data, boxes=NO_BOXES), "train").split
    except LvtuneError:
        found = None
    if found is not None and isinstance(found.table, PoseTable) and _count(found) >= LEAST:
        scored = job.source
        if scored is None or scored.table.fingerprint != found.table.fingerprint:
            return found, found.name
    shipped: Any = get_domain(SHIPPED)
    return shipped.source_reader(shipped, "train", DataOptions()), "the photographs of people that ship"


def _count(split: Split) -> int:
    return len(set(split.table.column("image").astype(str)))


def _features(base: Base, split: Split, seed: int, label: str, *, varied: bool) -> dict[str, np.ndarray]:
    """View to features of some pictures of a split, (M, F) each; one person of each picture is looked at."""
    images = split.table.column("image").astype(str)
    names, first = np.unique(images, return_index=True)
    kinds = split.table.column("category").astype(str)[first].tolist()
    rows = [int(first[i]) for i in nested_order(names.tolist(), kinds, seed)[:MOST]]
    rng = np.random.default_rng([seed, len(rows)])
    makers: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        VIEWS[0]: lambda image, box: crop_of(base, image, box),
        VIEWS[1]: lambda image, box: whole_picture(base, image),
    }
    if varied:
        makers["varied crop"] = lambda image, box: crop_of(base, _varied(image, rng), box, rng.uniform(0.6, 1.6))
        makers["varied whole"] = lambda image, box: whole_picture(base, _varied(image, rng))
    found: dict[str, list[np.ndarray]] = {name: [] for name in makers}
    starts = range(0, len(rows), _AT_ONCE)
    for start in tracked(starts, label, len(starts), "batches"):
        seen: dict[str, list[np.ndarray]] = {name: [] for name in makers}
        for row in rows[start : start + _AT_ONCE]:
            image, box = split.picture(row), np.asarray(split.table.column("bbox")[row], float)
            for name, make in makers.items():
                seen[name].append(make(image, box))
        for name, pictures in seen.items():
            found[name].append(look_features(base, torch.from_numpy(np.stack(pictures))))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another ordinary picture of the same thing: colours, contrast, brightness and sharpness differ.

    Photographs of other cameras and sizes would else count as a style of their own (measured; benchmarks/README.md).
    """
    found = image.astype(np.float32)
    grey = found.mean(-1, keepdims=True)
    found = grey + (found - grey) * rng.uniform(0.0, 1.6)
    found = (found - 127) * rng.uniform(0.6, 1.5) + 127 + rng.uniform(-40, 40)
    found = found * (1 + rng.uniform(-0.12, 0.12, 3)).astype(np.float32)
    amount, blurred = rng.uniform(-1.0, 2.5), cv2.GaussianBlur(found, (0, 0), rng.uniform(0.7, 1.6))
    return np.clip(found + amount * (found - blurred), 0, 255).astype(np.uint8)
