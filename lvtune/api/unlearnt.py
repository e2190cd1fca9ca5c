"""Key points that nothing teaches: no picture to tune on has a label of them, and base and start do not know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvtune.core.decision import Decision
from lvtune.data.pose_table import PoseTable
from lvtune.hub.starts import start_place
from lvtune.storage.adapter_file import read_config

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.domains import Split


def unlearnt_keypoints(recipe: Recipe, base: Base, train: Split) -> list[str]:
    """Returns the names of the key points of ``train`` that no label teaches and that nothing knows already.

    Args:
        recipe: of the run; an adapter that is grown or goes on may know them, and a start knows its own.
        base: knows its own key points.
        train: what is tuned on.
    """
    is_plain = train.task == "pose2d" and isinstance(train.table, PoseTable) and recipe.has_target_labels
    if not is_plain or recipe.grow is not None or recipe.after is not None:
        return []
    labelled = np.asarray((train.table.column("keypoints")[..., 2] > 0).any(0)).tolist()
    names = [
        name for name, is_labelled in zip(train.table.skeleton.keypoints, labelled, strict=True) if not is_labelled
    ]
    known = {*base.skeleton.keypoints, *(_keypoints_of_start(recipe, base) if names else ())}
    return [name for name in names if name not in known]


def _keypoints_of_start(recipe: Recipe, base: Base) -> list[str]:
    """Names of the key points of the adapter at which the run begins; empty where it begins at the base."""
    place = start_place(base.name, recipe.method, recipe.start)
    config = None if place is None else read_config(place)
    return [] if config is None else config["skeleton"]["keypoints"]


def unlearnt_decisions(recipe: Recipe, base: Base, train: Split) -> list[Decision]:
    """Returns a line on such key points; empty where there are none."""
    names = unlearnt_keypoints(recipe, base, train)
    if not names:
        return []
    why = "no picture to tune on has a label of them, and neither base nor start knows them"
    return [Decision("not learnt", ", ".join(names), f"{why}: do not use what is predicted there")]
