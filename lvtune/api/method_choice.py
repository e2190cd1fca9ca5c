"""Chooses what a recipe leaves open: the method that its domain names, and the settings of the method's publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvtune.api.after_choice import REPLAY
from lvtune.api.grow_choice import METHOD as GROWN
from lvtune.config.options import AugmentOptions, TrainOptions
from lvtune.config.schema import build, raise_problems, rivals_of
from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError, UsageError

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe

LIGHT = "vlpose-light"
"""Method of domains that name none, of own data, and of tuning by sentences alone."""
PUBLISHED, OWN, AUTO = "published", "own", "auto"
SHIPPED_ENCODER = "minilm"
_WITHOUT_A_METHOD = ("demo-art", "custom")
"""Domains that are known to name no method; asking them would import what reads their data."""


def chosen(recipe: Recipe) -> dict[str, Any]:
    """Returns the fields of a recipe that are still open, with their values; none for a recipe that is whole.

    Raises:
        UsageError: published settings of a method that has none.
    """
    method = recipe.method or (GROWN if recipe.grow else method_of(recipe.domain, recipe.text_only))
    settings, published = recipe.settings, {}
    if settings == AUTO:
        published = {} if recipe.method or method in (LIGHT, GROWN) else _published(method)
        settings = PUBLISHED if published else OWN
    elif settings == PUBLISHED:
        published = _published(method)
        if not published:
            raise UsageError(
                f"published settings of method {method}, for which no publication is known",
                "settings own",
                "leave --settings out",
            )
    found = {"method": method, "settings": settings} | _filled(recipe, published)
    if recipe.after is not None:
        found |= {"start": recipe.after, "objective": recipe.objective or REPLAY}
    return {name: value for name, value in found.items() if getattr(recipe, name) != value}


def method_of(domain: str, text_only: bool = False) -> str:
    """Returns the method that a domain names; ``vlpose-light`` for own data and with ``text_only``."""
    whole = domain.partition("/")[0]
    if text_only or whole in _WITHOUT_A_METHOD or domain.lower().endswith((".yaml", ".yml")):
        return LIGHT
    from lvtune.domains import get_domain

    try:
        return get_domain(domain).method or LIGHT
    except LvtuneError:  # told when the domain is opened
        return LIGHT


def method_decisions(recipe: Recipe) -> list[Decision]:
    """Returns which method and settings a whole recipe has, and why."""
    own = method_of(recipe.domain, recipe.text_only)
    if recipe.method == GROWN:
        why = "the adapter that is grown, and new rows of its predictor"
    elif recipe.after is not None:
        why = "of the adapter that goes on"
    elif recipe.method != own:
        why = f"as the recipe says; {own} is the method of domain {recipe.domain}"
    elif recipe.text_only:
        why = "the method of tuning by sentences alone; --method chooses another"
    else:
        why = f"the method of domain {recipe.domain}; --method chooses another"
    lines = [Decision("method", recipe.method, why)]
    if recipe.settings == PUBLISHED:
        why = "of the publication, where you give no others; --settings own takes those of a short tuning"
        lines.append(Decision("settings", PUBLISHED, why))
    return lines


def published_encoder(method: str) -> str:
    """Returns the text encoder of a method's publication."""
    return (_published(method).get("language") or {}).get("encoder", SHIPPED_ENCODER)


def _published(method: str) -> Mapping[str, Any]:
    from lvtune.adapters.method_registry import METHODS

    try:
        return METHODS.get(method).published
    except LvtuneError:  # told where the method is made
        return {}


def _filled(recipe: Recipe, published: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parts of a recipe with the published values where the recipe has none."""
    language, evaluate = recipe.language, recipe.evaluate
    if language.encoder == AUTO and not published:
        language = replace(language, encoder=SHIPPED_ENCODER)
    if not published:
        return {"language": language}
    if evaluate.category is None:
        evaluate = replace(evaluate, **published.get("evaluate", {}))
    options = {**published.get("method_options", {}), **recipe.method_options}
    train = _train(recipe.train, published.get("train", {}))
    return {"language": language, "evaluate": evaluate, "method_options": options, "train": train}


def _train(given: TrainOptions, published: Mapping[str, Any]) -> TrainOptions:
    """Returns training options; a published value gives way to a given one, and to one that takes its place."""
    values = dict(published)
    augment, problems = build(AugmentOptions, values.pop("augment", {}), "published.augment.")
    raise_problems(problems)
    rivals = rivals_of(TrainOptions)
    said = {name for name, value in vars(given).items() if value is not None and name != "augment"}
    taken = {name: value for name, value in values.items() if name not in said and not rivals[name] & said}
    theirs = {name: value for name, value in vars(augment).items() if getattr(given.augment, name) is None}
    return replace(given, **taken, augment=replace(given.augment, **theirs))
