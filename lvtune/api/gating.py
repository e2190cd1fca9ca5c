"""Fits the gate of a tuned adapter: what its pictures look like to the base, beside ordinary pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from lvtune.core.text import counted
from lvtune.core.work_progress import tracked
from lvtune.data.mixed import MixedTable
from lvtune.data.subset import nested_order
from lvtune.data.table import PoseTable
from lvtune.domains.domain import NO_BOXES
from lvtune.domains.find_domain import get_domain
from lvtune.patcher.domain_looks import LEAST, VIEWS, DomainLooks, fit_looks

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.bases.base import Base
    from lvtune.domains import Split

MOST = 320
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
    ordinary, against = _ordinary(job)
    # an adapter that knows earlier domains too is the one for their pictures
    earlier = {one.name: one.train for one in job.earlier if one.train is not None}
    try:
        looks = gate_from(job.base, job.train, ordinary, against, job.recipe.seed, earlier=list(earlier.values()))
    except (LvtuneError, ValueError) as error:  # the run is not lost for it
        said = error.given if isinstance(error, LvtuneError) else str(error)
        return None, Decision(WHAT, "none", f"{said}: adapters are chosen by CLIP")
    count = f"{counted(looks.pictures, 'picture')} that were tuned on, beside {looks.ordinary} of {against}"
    unseen = [one.name for one in job.earlier if one.train is None]
    count += f"; none of {', '.join(unseen)}, which it may not recognise" if unseen else ""
    return looks.to_dict(), Decision(WHAT, f"tells {looks.right:.0%} apart", count)


def gate_from(
    base: Base, target: Split, ordinary: Split, against: str, seed: int = 0, *, earlier: Sequence[Split] = ()
) -> DomainLooks:
    """Fits what the pictures of a split look like, beside ordinary ones; at most ``MOST`` of either are looked at.

    Args:
        base: that looks at them, with no adapter on.
        target: pictures of the domain, such as those that were tuned on.
        ordinary: pictures that need no adapter; they are shown in other colours, contrasts and sizes too.
        against: what the ordinary pictures are, in words.
        seed: of the choice of pictures, and of these changes.
        earlier: pictures of further domains that the adapter is for; the pictures looked at are divided equally.

    Raises:
        LvtuneError: a picture that cannot be read.
        ValueError: too few pictures.
    """
    splits = [target, *earlier]
    parts = [
        features_of_split(base, one, seed, "looking at the pictures", most=-(-MOST // len(splits))) for one in splits
    ]
    own = {view: np.concatenate([part[view] for part in parts]) for view in parts[0]}
    # ordinary pictures are looked at in more ways, which takes long where there are few of the others
    most = min(MOST, max(2 * LEAST, 2 * len(own[VIEWS[0]])))
    others = features_of_split(base, ordinary, seed, "looking at ordinary pictures", varied=True, most=most)
    return fit_looks(own, others, look_layer(base), against)


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
    return "" if count >= LEAST else f"{counted(count, 'picture was', 'pictures were')} tuned on; it takes {LEAST}"


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
    return shipped.source_reader(shipped, "train", DataOptions()), "photographs of people that ship with lvtune"


def _count(split: Split) -> int:
    return len(set(split.table.column("image").astype(str)))


def features_of_split(
    base: Base, split: Split, seed: int, label: str, *, most: int, varied: bool = False
) -> dict[str, np.ndarray]:
    """Returns view to features of some pictures of a split, (M, F) each; one person of each picture is looked at.

    Args:
        base: that looks at them.
        split: with pictures.
        seed: of the choice.
        label: of the progress.
        most: pictures that are looked at.
        varied: look at each view with other colours, contrast and sharpness as well.
    """
    items = _items(split, seed, most)
    rng = np.random.default_rng([seed, len(items)])
    makers: dict[str, Callable[[np.ndarray, np.ndarray, list[np.ndarray]], np.ndarray]] = {
        VIEWS[0]: lambda image, box, some: crop_of(base, image, box),
        VIEWS[1]: lambda image, box, some: whole_picture(base, image),
        "mosaic": lambda image, box, some: whole_picture(base, _mosaic(some, rng)),
    }
    if varied:
        makers["varied crop"] = lambda image, box, some: crop_of(base, _varied(image, rng), box, rng.uniform(0.6, 1.6))
        makers["varied whole"] = lambda image, box, some: whole_picture(base, _varied(image, rng))
        makers["varied mosaic"] = lambda image, box, some: whole_picture(base, _varied(_mosaic(some, rng), rng))
    found: dict[str, list[np.ndarray]] = {name: [] for name in makers}
    starts = range(0, len(items), _AT_ONCE)
    for start in tracked(starts, label, len(starts), "batches"):
        seen: dict[str, list[np.ndarray]] = {name: [] for name in makers}
        some = [_shown(split, row, view) for row, view in items[start : start + _AT_ONCE]]
        for (row, _), image in zip(items[start : start + _AT_ONCE], some, strict=True):
            box = np.asarray(split.table.column("bbox")[row], float)
            for name, make in makers.items():
                seen[name].append(make(image, box, some))
        for name, pictures in seen.items():
            found[name].append(look_features(base, torch.from_numpy(np.stack(pictures))))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _items(split: Split, seed: int, most: int) -> list[tuple[int, str]]:
    """(row, view) of some samples that are used, one for each picture; the views take turns."""
    views = split.views or ("",)
    used = range(len(split.table) * len(views)) if split.items is None else split.items
    images, kinds = (split.table.column(name).astype(str) for name in ("image", "category"))
    found: dict[str, list[int]] = {}
    for item in used:
        found.setdefault(images[item // len(views)], []).append(item)
    names = sorted(found)
    order = nested_order(names, [kinds[found[name][0] // len(views)] for name in names], seed)[:most]
    chosen = [found[names[place]][turn % len(found[names[place]])] for turn, place in enumerate(order)]
    return [(item // len(views), views[item % len(views)]) for item in chosen]


def _shown(split: Split, row: int, view: str) -> np.ndarray:
    """The whole picture of a sample, (H, W, 3) uint8 RGB."""
    if split.render is None or not split.views:
        return split.picture(row)
    return split.render(split.table.picture(row), view, split.table[row].index)


def _mosaic(images: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A picture of 2 x 2 or 3 x 3 pictures: what they show is small, as in a picture of a whole scene.

    Both kinds of pictures are shown so, or a small person would count as ordinary, or as the contrary.
    """
    count = int(rng.integers(2, 4))
    side = 256 // count
    whole = np.zeros((side * count, side * count, 3), np.uint8)
    for top in range(0, side * count, side):
        for left in range(0, side * count, side):
            image = images[int(rng.integers(len(images)))]
            size = min(image.shape[:2])
            y, x = (int(rng.integers(length - size + 1)) for length in image.shape[:2])
            part = cv2.resize(image[y : y + size, x : x + size], (side, side), interpolation=cv2.INTER_AREA)
            whole[top : top + side, left : left + side] = part
    return whole


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
