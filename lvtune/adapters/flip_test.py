"""Whether an adapter's predictions are averaged with those of the mirrored picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def takes_flip_test(adapter: Any) -> bool:
    """Returns False for an adapter whose own run was scored without the flip test.

    Such an adapter has mostly seen no mirrored picture while it was tuned, and its answers to one mean nothing.
    """
    training = getattr(adapter, "saved_with", {}).get("training")
    recipe = training.get("recipe") if isinstance(training, Mapping) else None
    evaluate = recipe.get("evaluate") if isinstance(recipe, Mapping) else None
    return not isinstance(evaluate, Mapping) or evaluate.get("flip_test") is not False
