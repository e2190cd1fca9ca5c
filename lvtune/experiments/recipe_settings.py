"""The options of a recipe that decide the result of a run, so that two runs can be compared."""

from __future__ import annotations

from typing import Any

from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.config.tables import flatten

NO_EFFECT = ("out", "device", "look", "train.workers", "train.checkpoint_every", "train.progress_frames",
             "evaluate.batch_size")  # fmt: skip
"""Options that change no result: runs that differ in them alone are the same."""


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Returns the options that decide the result by dotted names, with the method's defaults filled in."""
    flat = flatten(recipe.resolved(METHODS.get(recipe.method).defaults).to_dict())
    return {name: value for name, value in flat.items() if name not in NO_EFFECT}
