"""Without labels of the target nothing tells which settings suit it: then those of the start stay."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

from lvtune.adapters.flip_test import takes_flip_test
from lvtune.bases.input_size import AUTO
from lvtune.config.options import BaseOptions
from lvtune.core.decision import Decision
from lvtune.hub.starts import start_place
from lvtune.storage.adapter_file import read_config

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base


def as_the_start(recipe: Recipe, base: Base) -> tuple[Recipe, list[Decision]] | None:
    """Returns the recipe with the input size and the flip test of its start, and a line for each; None: no start says.

    Else a run of which nothing is kept would not be what it began with. The base gets the size here.

    Args:
        recipe: resolved, without labels of the target.
        base: with its own input size, or the one that was asked for.

    Raises:
        LvtuneError: a start was asked for that is not there, or a size that the base cannot take.
    """
    place = start_place(recipe.base, recipe.method, recipe.start)
    config = None if place is None else read_config(place)
    if config is None:
        return None
    lines, has_flip_test = [], takes_flip_test(SimpleNamespace(saved_with=config))
    if has_flip_test and tuple(config["base"]["input_size"]) == base.input_size:
        return None
    if recipe.base_options.input_size == AUTO:
        height, width = config["base"]["input_size"]
        base.set_input_size((height, width))
        size = f"{height}x{width}"
        recipe = replace(recipe, base_options=BaseOptions(input_size=size))
        lines.append(Decision("input size", size, "that of the start"))
    else:
        size = "x".join(map(str, base.input_size))
        lines.append(Decision("input size", size, "as the recipe says"))
    if recipe.evaluate.flip_test and not has_flip_test:
        recipe = replace(recipe, evaluate=replace(recipe.evaluate, flip_test=False))
        lines.append(Decision("flip test", "none", "the start was tuned without it"))
    return recipe, lines
