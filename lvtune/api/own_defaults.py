"""Chooses defaults for own data with new key points: input size, rates, steps and augmentation.

Nothing here looks at test pictures. What the user set is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lvtune.api.size_choice import StepTimer, size_within
from lvtune.api.start_settings import as_the_start
from lvtune.bases.input_size import AUTO, choose_input_size, parse_size
from lvtune.config.options import BaseOptions, TrainOptions
from lvtune.config.tables import merge
from lvtune.core.decision import Decision
from lvtune.data.augment import Augment
from lvtune.data.augment_choice import choose_augment, describe, kept_in_sight, share_outside
from lvtune.data.label_statistics import LabelStatistics, label_statistics
from lvtune.domains.few_pictures import count_pictures
from lvtune.domains.own_domain import is_own_data
from lvtune.training.engine import processor_has_bf16, resolve_device
from lvtune.training.guard import COST, LEAST_PICTURES
from lvtune.training.plan import Plan, rates, steps

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.domains import Split

MOST_MEASURED = 500
"""Instances by which it is measured how many points augmentation turns out of the picture."""


def new_keypoints(base: Base, split: Split) -> int:
    """Counts the key points that the base does not know by name, for which a predictor is learnt anew."""
    keypoints = split.table.skeleton.keypoints
    if keypoints == base.skeleton.keypoints:
        return 0
    return len([name for name in keypoints if name not in base.skeleton.keypoints])


def chosen_defaults(
    given: Recipe, base: Base, train: Split, method_defaults: Mapping[str, Any], timer: StepTimer
) -> tuple[Recipe, list[Decision]]:
    """Resolves a recipe, with what suits the labels where nothing was said.

    Where the data set is built in, or the base knows all its key points, this is ``given.resolved(method_defaults)``.
    The base gets its input size here.

    Args:
        given: as the user gave it, not resolved.
        base: fresh, with its own input size or the one that was asked for.
        train: the pictures to tune on.
        method_defaults: the method's own.
        timer: times a training step; called where there is a time budget.

    Returns:
        The resolved recipe, and a line for each choice.
    """
    recipe, new = given.resolved(method_defaults), new_keypoints(base, train)
    is_plain = train.task != "pose2d" or train.samples is not None or not given.has_target_labels
    if not given.has_target_labels and (begun := as_the_start(recipe, base)) is not None:
        return begun
    if not new or is_plain:
        return recipe, [_own_size(base, given)]
    keypoints = len(train.table.skeleton.keypoints)
    options, decisions = {"gentle": False}, []
    if given.train.lr is None and recipe.train.lr is not None:
        speed = rates(new, keypoints, recipe.train.lr, _repeats(given, recipe, train, new))
        options, decisions = speed.options, speed.decisions
    if not is_own_data(given.domain):
        # a published data set is large, and its boxes and people are of the kind that the base was trained for
        return given.resolved(merge(method_defaults, options, TrainOptions)), [_own_size(base, given), *decisions]
    # who has most of the key points that the base knows stands as in the base's own pictures
    labels = label_statistics(train.table, is_known=2 * new < keypoints)
    # a step is timed as it will be computed
    is_half = given.train.precision == "auto" and resolve_device(given.device).type == "cpu" and processor_has_bf16()
    precision = "bf16" if is_half else given.train.precision
    size, length = _size_and_length(given, recipe, base, train, new, partial(timer, precision=precision), labels)
    options, decisions = options | length.options, [*decisions, *length.decisions]
    augment, lines = _augmentation(given, base, train, labels, method_defaults)
    recipe = given.resolved({**merge(method_defaults, options, TrainOptions), "augment": augment})
    recipe = replace(recipe, base_options=BaseOptions(input_size="x".join(map(str, base.input_size))))
    if not recipe.train.augment.flip:  # who has never seen a mirrored picture must not be asked about one
        recipe = replace(recipe, evaluate=replace(recipe.evaluate, flip_test=False))
    if is_half:
        recipe = replace(recipe, train=replace(recipe.train, precision="bf16"))
        why = "this processor multiplies bfloat16 numbers itself, so a step took 0.6 of the time where we measured it"
        decisions = [*decisions, Decision("precision", "bf16", why)]
    return recipe, [size, *decisions, *lines]


def _repeats(given: Recipe, recipe: Recipe, train: Split, new: int) -> float:
    """How many times as often own pictures are passed over as the method usually does; 1 for a published data set."""
    if not is_own_data(given.domain) or not recipe.train.epochs:
        return 1.0
    usual = steps(count_pictures(train), new).options
    return usual["steps"] * usual["batch_size"] / max(1, len(train.table)) / recipe.train.epochs


def _size_and_length(
    given: Recipe,
    recipe: Recipe,
    base: Base,
    train: Split,
    new: int,
    timer: StepTimer,
    labels: LabelStatistics,
) -> tuple[Decision, Plan]:
    """Sets the base's input size; returns the line on it, and how long to tune where that was not said."""
    is_free = given.base_options.input_size == AUTO
    wanted = choose_input_size(base, labels) if is_free else (base.input_size, _own_size(base, given))
    pictures = count_pictures(train)
    usual, minutes = steps(pictures, new), given.train.minutes
    if minutes is None:
        is_said = given.train.steps is not None or given.train.epochs is not None
        base.set_input_size(wanted[0])
        return wanted[1], Plan() if is_said else usual
    is_guarded = LEAST_PICTURES <= pictures <= (recipe.train.guard or 0)
    batch_size = given.train.batch_size or usual.options["batch_size"]
    size, lines = size_within(
        wanted, base, train, timer, seconds=60 * minutes * (1 - COST if is_guarded else 1),
        usual=usual.options["steps"], batch_size=batch_size, is_free=is_free,
    )  # fmt: skip
    base.set_input_size(size)
    return lines[0], Plan({"batch_size": batch_size}, lines[1:])


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
