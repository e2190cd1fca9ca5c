"""Chooses options for a domain whose labels contradict each other, so that the sentence alone tells what is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lvtune.core.decision import Decision
from lvtune.core.text import counted, plural
from lvtune.data.label_conflicts import label_conflict
from lvtune.data.pose_table import PoseTable

if TYPE_CHECKING:
    from lvtune.adapters.adapter import Adapter
    from lvtune.api.recipe import Recipe
    from lvtune.domains import Split


def for_conflicting_labels(recipe: Recipe, method: type[Adapter], train: Split) -> tuple[Recipe, list[Decision]]:
    """Returns the recipe with options that suit contradictory labels, and a line for each choice.

    What the recipe says is never changed. Where the labels do not contradict each other, it comes back as it is.

    Args:
        recipe: resolved.
        method: of the adapter.
        train: the pictures to tune on.
    """
    conflict = label_conflict(train.table) if isinstance(train.table, PoseTable) else None
    if conflict is None or not recipe.has_target_labels:
        return recipe, []
    why = (
        f"{conflict.instances} of {counted(conflict.total, 'instance')} {plural(conflict.instances, 'has', 'have')} "
        f"other key points under another category "
        f"({', '.join(conflict.categories)}), so only the sentence says which key points are wanted"
    )
    suited = method.options_for_conflicts(recipe.method_options)
    chosen = {name: value for name, value in suited.items() if name not in recipe.method_options}
    if not suited:
        line = Decision("labels that contradict each other", "nothing changed", f"{why}, and {method.method} with "
                        "these options cannot read it; choose --method vlpose-light")  # fmt: skip
        return recipe, [line]
    value = ", ".join(f"--method.{name} {str(option).lower()}" for name, option in chosen.items()) or "as you said"
    decisions = [Decision("labels that contradict each other", value, why)]
    recipe = replace(recipe, method_options={**recipe.method_options, **chosen})
    if recipe.evaluate.category is None:
        reason = "the mean of these sentences asks for nothing; name a category when you predict"
        decisions.append(Decision("sentence that is scored", "each picture's own", reason))
        recipe = replace(recipe, evaluate=replace(recipe.evaluate, category="own"))
    return recipe, decisions
