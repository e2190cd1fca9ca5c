"""Chooses defaults for own data with new key points: input size, rates, steps and augmentation.

Nothing here looks at test pictures. What the user set is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvtune.bases.input_size import AUTO, choose_input_size, parse_size
from lvtune.config.options import BaseOptions, TrainOptions
from lvtune.config.tables import merge
from lvtune.core.decision import Decision
from lvtune.data.augment import Augment
from lvtune.data.augment_choice import choose_augment, describe, kept_in_sight, share_outside
from lvtune.data.label_statistics import LabelStatistics, label_statistics
from lvtune.domains.few_pictures import count_pictures
from lvtune.training.engine import processor_has_bf16, resolve_device
from lvtune.training.plan import rates, steps

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.domains import Split

CUSTOM = "custom"
"""Name of the domain of own data."""
MOST_MEASURED = 500
"""Instances by which it is measured how many points augmentation turns out of the picture."""


def new_keypoints(base: Base, split: Split) -> int:
    """Counts the key points that the base does not know by name, for which a predictor is learnt anew."""
    keypoints = split.table.skeleton.keypoints
    if keypoints == base.skeleton.keypoints:
        return 0
    return len([name for name in keypoints if name not in base.skeleton.keypoints])


def chosen_defaults(
    given: Recipe, base: Base, train: Split, method_defaults: Mapping[str, Any]
) -> tuple[Recipe, list[Decision]]:
    """Resolves a recipe, with what suits the labels where nothing was said.

    Where the data set is built in, or the base knows all its key points, this is ``given.resolved(method_defaults)``.
    The base gets its input size here.

    Args:
        given: as the user gave it, not resolved.
        base: fresh, with its own input size or the one that was asked for.
        train: the pictures to tune on.
        method_defaults: the method's own.

    Returns:
        The resolved recipe, and a line for each choice.
    """
    recipe, new = given.resolved(method_defaults), new_keypoints(base, train)
    is_plain = train.task != "pose2d" or train.samples is not None or given.text_only
    if not new or is_plain:
        return recipe, [_own_size(base, given)]
    keypoints = len(train.table.skeleton.keypoints)
    options, decisions = {"gentle": False}, []
    if given.train.lr is None and recipe.train.lr is not None:
        speed = rates(new, keypoints, recipe.train.lr)
        options, decisions = speed.options, speed.decisions
    if given.domain.partition("/")[0] != CUSTOM:
        # a published data set is large, and its boxes and people are of the kind that the base was trained for
        return given.resolved(merge(method_defaults, options, TrainOptions)), [_own_size(base, given), *decisions]
    labels = label_statistics(train.table)
    size = _own_size(base, given)
    if given.base_options.input_size == AUTO:
        chosen, size = choose_input_size(base, labels)
        base.set_input_size(chosen)
    if given.train.steps is None and given.train.epochs is None:
        duration = steps(count_pictures(train), keypoints)
        if given.train.minutes is None:
            options, decisions = options | duration.options, [*decisions, *duration.decisions]
        else:
            options = options | {"batch_size": duration.options["batch_size"]}
    augment, lines = _augmentation(given, base, train, labels, method_defaults)
    recipe = given.resolved({**merge(method_defaults, options, TrainOptions), "augment": augment})
    recipe = replace(recipe, base_options=BaseOptions(input_size="x".join(map(str, base.input_size))))
    if not recipe.train.augment.flip:  # who has never seen a mirrored picture must not be asked about one
        recipe = replace(recipe, evaluate=replace(recipe.evaluate, flip_test=False))
    if given.train.precision == "auto" and resolve_device(given.device).type == "cpu" and processor_has_bf16():
        recipe = replace(recipe, train=replace(recipe.train, precision="bf16"))
        why = "this processor multiplies bfloat16 numbers itself, which takes about half the time"
        decisions = [*decisions, Decision("precision", "bf16", why)]
    return recipe, [size, *decisions, *lines]


def _own_size(base: Base, given: Recipe) -> Decision:
    size = "x".join(map(str, base.input_size))
    is_said = parse_size(given.base_options.input_size) is not None
    return Decision("input size", size, "as the recipe says" if is_said else "the base's own")


def _augmentation(
    given: Recipe, base: Base, train: Split, labels: LabelStatistics, method_defaults: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Decision]]:
    """Options of the augmentation that suit the labels, weakened until hardly a point leaves the picture."""
    table, said = train.table, {name for name, value in vars(given.train.augment).items() if value is not None}
    defaults = {**(method_defaults.get("augment") or {}), **choose_augment(labels)}
    whole = vars(given.resolved({**method_defaults, "augment": defaults}).train.augment)
    whole = Augment(**{**whole, "scale": tuple(whole["scale"])})
    samples = [(table[i].keypoints, table[i].bbox) for i in range(min(len(table), MOST_MEASURED))]
    free = [name for name in ("scale", "shift", "rotate") if name not in said]
    augment, share = kept_in_sight(
        whole, lambda tried: share_outside(tried, samples, table.skeleton, base.input_size, given.seed), free
    )
    weakened = [name for name in free if getattr(augment, name) != getattr(whole, name)]
    why = "measured on the training labels" + (f"; weakened for this: {', '.join(weakened)}" if weakened else "")
    lines = [
        *describe(augment, labels, said),
        Decision("labelled points turned out of the picture", f"{share:.1%}", why),
    ]
    return {**defaults, **{name: getattr(augment, name) for name in weakened}}, lines
