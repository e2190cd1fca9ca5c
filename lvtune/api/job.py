"""A recipe with everything that it names opened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvtune.adapters import METHODS, create_adapter
from lvtune.bases import load_base
from lvtune.data.augment import Augment
from lvtune.domains import Split, custom_domain, get_domain
from lvtune.evaluation.choosing import choose
from lvtune.recipe import objective_config
from lvtune.training.engine import resolve_device
from lvtune.training.objectives import OBJECTIVES

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from lvtune.bases.base import Base
    from lvtune.data.dataset import PoseDataset
    from lvtune.domains import Domain
    from lvtune.language.bank import PromptBank
    from lvtune.recipe import DataOptions, Recipe


@dataclass
class Job:
    """Base, domain, splits and a fresh adapter."""

    recipe: Recipe
    base: Base
    domain: Domain
    train: Split
    test: Split
    source: Split | None
    adapter: nn.Module
    objective: Callable[[Base, dict], Tensor]
    prompt: Any = None
    """What the target is read with, see :mod:`lvtune.evaluation.choosing`."""


def prepare(recipe: Recipe) -> Job:
    """Loads the base, opens the domain and makes the adapter; nothing is tuned or written.

    Raises:
        LvtuneError: whatever does not exist or does not fit.
    """
    method = METHODS.get(recipe.method)
    recipe = recipe.resolved(method.defaults)
    device = resolve_device(recipe.device)
    domain = open_domain(recipe.domain, recipe.data)
    base = load_base(recipe.base, recipe.weights, seed=recipe.seed)
    base.model.to(device)
    recipe = replace(recipe, objective=recipe.objective or base.objective)
    objective = OBJECTIVES.get(recipe.objective)(objective_config(recipe.objective, recipe.objective_options))
    train, test = (limited(domain.open(part, recipe.data), recipe.data) for part in ("train", "test"))
    source = open_source(domain, base, recipe.data)
    adapter = create_adapter(
        recipe.method,
        base,
        domain=domain.name,
        skeleton=train.table.skeleton,
        bank=embed(recipe, domain) if method.reads_language else None,
        seed=recipe.seed,
        **recipe.method_options,
    )
    # now: a prompt that cannot be had must not be told after the tuning
    options = recipe.evaluate
    prompt = choose(options.prompt, adapter, ranker=options.ranker, seed=recipe.seed, device=device)
    return Job(recipe, base, domain, train, test, source, adapter, objective, prompt)


def open_domain(name: str, data: DataOptions) -> Domain:
    """A registered domain, or the user's own pictures where annotations are given."""
    return custom_domain(data) if name == "custom" else get_domain(name)


def open_source(domain: Domain, base: Base, data: DataOptions, split: str = "test") -> Split | None:
    """What the base comes from: the user's source data, the domain's own, or what ships with the base."""
    source = domain.open_source(split, data, base.spec.trained_on)
    if source is None and base.spec.source:
        source = get_domain(base.spec.source).open_source("test")
    return None if source is None else limited(source, data)


def embed(recipe: Recipe, domain: Domain) -> PromptBank:
    """The domain's sentences (or the recipe's own) as the text encoder's token states."""
    from lvtune.language import get_bank

    sentences = {**domain.prompts, **(recipe.language.sentences or {})}
    return get_bank(sentences, recipe.language.encoder)


def limited(split: Split, data: DataOptions) -> Split:
    """The first ``data.limit`` persons of a split, of each part where it is a mixture."""
    if data.limit is None or data.limit >= len(split.table):
        return split
    return split.first(data.limit)


def training_data(job: Job) -> PoseDataset:
    """The training split, augmented as the recipe says."""
    from lvtune.evaluation.inference import split_dataset
    from lvtune.schema import plain

    augment = plain(job.recipe.train.augment)
    augment["scale"] = tuple(augment["scale"])
    return split_dataset(job.base, job.train, augment=Augment(**augment), seed=job.recipe.seed, cache=True)
