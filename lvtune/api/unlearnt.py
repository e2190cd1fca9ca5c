"""Key points that nothing teaches: no picture to tune on has a label of them, and base and start do not know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvtune.api.as_tuned import adapters_before
from lvtune.core.decision import Decision
from lvtune.data.pose_table import PoseTable
from lvtune.storage.adapter_file import read_config

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.domains import Split


def unlearnt_keypoints(recipe: Recipe, base: Base, train: Split) -> list[str]:
    """Returns the names of the key points of ``train`` that no label teaches and that nothing knows already.

    In a mirrored picture left and right change places, so the label of one side teaches the other too.

    Args:
        recipe: of the run; the adapter at which it begins knows its own key points.
        base: knows its own key points.
        train: what is tuned on.
    """
    if train.task != "pose2d" or not isinstance(train.table, PoseTable) or not recipe.has_target_labels:
        return []
    skeleton = train.table.skeleton
    is_taught = np.asarray((train.table.column("keypoints")[..., 2] > 0).any(0))
    if recipe.train.augment.flip != 0 and skeleton.mirrors:
        is_taught = is_taught | is_taught[list(skeleton.flip_index)]
    names = [name for name, taught in zip(skeleton.keypoints, is_taught.tolist(), strict=True) if not taught]
    known = {*base.skeleton.keypoints, *(_known_before(recipe) if names else ())}
    return [name for name in names if name not in known]


def _known_before(recipe: Recipe) -> list[str]:
    """Names of the key points of the adapters with which the run begins."""
    configs = [read_config(place) for place in adapters_before(recipe)]
    return [name for config in configs if config is not None for name in config["skeleton"]["keypoints"]]


def unlearnt_decisions(recipe: Recipe, base: Base, train: Split) -> list[Decision]:
    """Returns a line on such key points; empty where there are none."""
    names = unlearnt_keypoints(recipe, base, train)
    if not names:
        return []
    why = "no picture to tune on has a label of them, and neither the base nor the adapter at the start knows them"
    return [Decision("not learnt", ", ".join(names), f"{why}: do not use what is predicted there")]
