"""Makes the samples that are tuned on and replayed, and adds the replay to the objective."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lvtune.api.base_answers import answered_in_many_views
from lvtune.config.schema import plain
from lvtune.data.augment import Augment
from lvtune.evaluation.inference import split_dataset
from lvtune.training.source_replay import Replay, SourceReplay, followers

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.api.replay_data import SourcePictures
    from lvtune.bases.base import Base
    from lvtune.domains import Split


def augmented(recipe: Recipe, base: Base, split: Split, **other: Any) -> Any:
    """Returns the samples of a split, changed at random as the recipe says; ``other`` takes the place of its values."""
    augment = plain(recipe.train.augment) | other
    augment["scale"] = tuple(augment["scale"])
    return split_dataset(base, split, augment=Augment(**augment), seed=recipe.seed, cache=True)


STILL = "while pictures of the source are replayed, the statistics of BatchNorms stay those of the base"


def with_replay(objective: Any, recipe: Recipe, base: Base, adapter: Any, source: SourcePictures | None) -> Any:
    """Returns the prepared objective, with pictures of the source replayed where there are some to replay."""
    if source is None or source.replay is None:
        return objective
    options = recipe.keeping
    opened = partial(_replayed, recipe, base, source)
    replay = Replay(opened, options.replay_every, options.weight, recipe.seed)
    made = SourceReplay(objective, replay)
    if options.replay_pictures is not None:
        made.notes = (*made.notes, *source.replay.table.notes)
    if followers(adapter):
        made.notes = (*made.notes, STILL)
    return made


def _replayed(recipe: Recipe, base: Base, source: SourcePictures) -> Any:
    """The samples, with labels or with the base's own answers."""
    assert source.replay is not None
    split = source.replay
    if not source.with_labels:
        split = answered_in_many_views(base, split, recipe.keeping.replay_views)
    # in their own colours: the source is to be held as it is (measured; benchmarks/README.md)
    return augmented(recipe, base, split, color=0.0)
