"""Builds base and adapter of a recipe whose weights, data or text encoder are missing: shapes need none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from lvtune.adapters.factory import create_adapter
from lvtune.adapters.method_registry import METHODS
from lvtune.api.encoder_choice import embedded
from lvtune.api.job import embed, sentences_for
from lvtune.api.open_data import open_domain
from lvtune.api.unlabelled_data import open_unlabelled
from lvtune.bases.base_registry import load_base
from lvtune.bases.input_size import parse_size
from lvtune.core.errors import LvtuneError
from lvtune.domains.domain import NO_BOXES
from lvtune.language.bank import RANDOM, REDRAWN, SentenceBank, get_bank
from lvtune.language.encoders import usual_width

if TYPE_CHECKING:
    from torch import nn

    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.domains import Domain, Split

T = TypeVar("T")


def outline(recipe: Recipe, stopped: LvtuneError) -> tuple[Base, nn.Module, list[LvtuneError]]:
    """Returns base and adapter of a recipe that cannot be run here, without storage, and the errors that say why.

    Args:
        recipe: resolved.
        stopped: the error that a run ends with.

    Raises:
        LvtuneError: ``stopped``, where an adapter is grown, or neither weights nor data nor a text encoder are
            missing; wrong options of the method.
    """
    if recipe.grow is not None:  # which rows are new is known with the adapter and the data alone
        raise stopped
    missing: list[LvtuneError] = []
    size = parse_size(recipe.base_options.input_size)
    method, domain = METHODS.get(recipe.method), open_domain(recipe.domain, recipe.data)
    base = _tried(lambda: load_base(recipe.base, recipe.weights, seed=recipe.seed, input_size=size), missing)
    place = torch.device("cpu" if method.needs_storage else "meta")
    if base is None:
        with place:
            base = load_base(recipe.base, "random", input_size=size)
    data = replace(recipe.data, boxes=NO_BOXES)
    parts = [part for part in ("train", "test") if part in domain.splits]  # without labels there is no train
    splits = [_tried(lambda part=part: domain.open(part, data), missing) for part in parts]
    skeleton = splits[0].table.skeleton if splits[0] is not None else domain.get_skeleton()
    bank = None
    if method.reads_language:
        sentences_for(recipe, domain)  # a mistake in these is an error, nothing that is missing
        found = _tried(lambda: embedded(recipe, lambda one: _bank(one, domain, base, splits)), missing)
        bank = found[1] if found is not None else _of_usual_width(recipe.language.encoder, stopped)
    if not missing:
        raise stopped
    _tried(lambda: open_unlabelled(recipe, domain, skeleton), missing)
    base.model.to(place)  # methods copy parts of the base: both must be with storage, or both without
    with place:
        options = recipe.method_options
        adapter = create_adapter(recipe.method, base, domain=None, skeleton=skeleton, bank=bank, **options)
    return base, adapter, list({str(error): error for error in missing}.values())


def _bank(recipe: Recipe, domain: Domain, base: Base, splits: Sequence[Split | None]) -> SentenceBank:
    """Embeds the sentences; without the data those of the categories, which have the same width."""
    opened = [split for split in splits if split is not None]
    if len(opened) == len(splits):
        return embed(recipe, domain, base, opened)
    options = recipe.language
    mode = options.mode if options.mode in (RANDOM, REDRAWN) else "category"
    return get_bank(sentences_for(recipe, domain), options.encoder, mode=mode, width=base.width)


def _tried(make: Callable[[], T], missing: list[LvtuneError]) -> T | None:
    try:
        return make()
    except LvtuneError as error:
        missing.append(error)
        return None


def _of_usual_width(encoder: str, stopped: LvtuneError) -> SentenceBank:
    """Returns a stand-in for the sentences, with the width of the encoder's usual weights."""
    width: Any = usual_width(encoder)
    if width is None:
        raise stopped
    with torch.device("cpu"):
        tokens = torch.zeros(1, 1, width)
        return SentenceBank(("default",), ("",), tokens, torch.ones(1, 1, dtype=torch.bool), encoder)
