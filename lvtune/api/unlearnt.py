"""Key points that nothing teaches: no picture to tune on has a label of them, and base and start do not know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvtune.core.decision import Decision
from lvtune.data.pose_table import PoseTable

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.domains import Split


def unlearnt_keypoints(recipe: Recipe, base: Base, train: Split, *, is_started: bool) -> list[str]:
    """Returns the names of the key points of ``train`` that no label teaches and that nothing knows already.

    Args:
        recipe: of the run; an adapter that is grown or goes on may know them.
        base: knows its own key points.
        train: what is tuned on.
        is_started: the run begins at another adapter, which may know them.
    """
    is_plain = train.task == "pose2d" and isinstance(train.table, PoseTable) and recipe.has_target_labels
    if not is_plain or is_started or recipe.grow is not None or recipe.after is not None:
        return []
    labelled = np.asarray((train.table.column("keypoints")[..., 2] > 0).any(0)).tolist()
    names = zip(train.table.skeleton.keypoints, labelled, strict=True)
    return [name for name, is_labelled in names if not is_labelled and name not in base.skeleton.keypoints]


def unlearnt_decisions(recipe: Recipe, base: Base, train: Split) -> list[Decision]:
    """Returns a line on such key points; empty where there are none."""
    names = unlearnt_keypoints(recipe, base, train, is_started=False)
    if not names:
        return []
    why = (
        "no picture to tune on has a label of them, and the base does not know them: do not use what is predicted there"
    )
    return [Decision("not learnt", ", ".join(names), f"{why}, unless --start knows them")]
