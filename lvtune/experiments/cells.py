"""The cells of a comparison: variants x shots x seeds x learning rates, each a recipe with a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.config.schema import hints_of, with_new_names
from lvtune.config.tables import flatten, merge
from lvtune.config.yaml_files import read_yaml
from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest

ALL = "all"
"""The word for all annotated pictures."""
_FREE = ("out", "device", "train.workers", "train.checkpoint_every", "evaluate.batch_size")
"""Options in which a finished cell may differ from the one asked for: no result depends on them."""


@dataclass(frozen=True)
class Variant:
    """One line of the comparison."""

    label: str
    """As typed, such as ``lora:r=4``; its name in tables."""
    changes: dict[str, Any]
    """Nested options of a recipe, over those that all variants share."""


@dataclass(frozen=True)
class Cell:
    """One run."""

    variant: Variant
    shots: int | str
    """Annotated pictures to tune on, or "all"."""
    seed: int
    lr: float | None
    """From the learning rates compared; None: the variant's own or its method's."""
    folder: Path
    recipe: Recipe

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.name


def variants_of(methods: Sequence[str] | str, file: str | Path | None = None) -> list[Variant]:
    """What is to be compared.

    Args:
        methods: names, each with options after a colon: ``lora:r=4,lr=1e-3``. An option is the method's own, one of
            :class:`lvtune.config.options.TrainOptions`, or dotted (``language.mode=human``). A string may hold several.
        file: YAML of label to options of a recipe (``full-slow: {method: full, train: {lr: 1e-4}}``).

    Raises:
        LvtuneError: an unknown method or option, a label given twice, nothing to compare.
    """
    text = methods if isinstance(methods, str) else ",".join(methods)
    found = [_variant(words) for words in _split(text)]
    if file is not None:
        table = read_yaml(file)
        strange = next((label for label, changes in table.items() if not isinstance(changes, Mapping)), None)
        if strange is not None:
            raise LvtuneError(f"{file}: {strange}: {table[strange]!r}", "label: {options of a recipe}",
                              f"write `{strange}: {{method: lora, train: {{lr: 1e-3}}}}`")  # fmt: skip
        found += [Variant(str(label), dict(changes)) for label, changes in table.items()]
    if not found:
        raise LvtuneError("nothing to compare", "methods, or a file of variants", "give --methods vlpose-light,full")
    taken: dict[str, str] = {}
    for variant in found:
        if _slug(variant.label) in taken:
            raise LvtuneError(f"'{variant.label}' besides '{taken[_slug(variant.label)]}'",
                              "labels that differ in letters or digits", "rename or drop one of them")  # fmt: skip
        taken[_slug(variant.label)] = variant.label
    return found


def _split(text: str) -> list[list[str]]:
    """Per method its name and ``name=value`` words; a word that is neither goes on with the value before it."""
    from lvtune.adapters.method_registry import METHODS

    found: list[list[str]] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, colon, option = word.partition(":")
        if name in METHODS.names() or not found or (colon and "=" not in name):
            METHODS.get(name)
            found.append([name, option] if option else [name])
        elif "=" in word:
            found[-1].append(word)
        elif len(found[-1]) > 1:
            found[-1][-1] += f",{word}"
        else:
            METHODS.get(word)  # raises, naming the closest
    return found


def _variant(words: Sequence[str]) -> Variant:
    from lvtune.adapters.method_registry import METHODS

    method, *options = words
    config = METHODS.get(method).Config
    own, shared = list(hints_of(config)), list(hints_of(TrainOptions))
    changes: dict[str, Any] = {"method": method}
    for word in options:
        name, equals, value = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise LvtuneError(f"'{method}:{word}'", "options as name=value", f"such as {method}:lr=1e-3")
        if name in own or with_new_names(config, {name: value})[1]:
            place = ("method_options", name)
        elif name in shared:
            place = ("train", name)
        elif "." in name:
            place = tuple(name.split("."))
        else:
            raise LvtuneError(f"option '{name}' of '{method}'", f"one of {', '.join(own + shared)}",
                              suggest(name, own + shared, "remove it"))  # fmt: skip
        for key in reversed(place):
            value = {key: value}
        changes = merge(changes, value, Recipe)
    return Variant(method + (f":{','.join(options)}" if options else ""), changes)


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=]+", "-", label).strip("-")


def cells_of(
    shared: Mapping[str, Any],
    variants: Sequence[Variant],
    *,
    shots: Sequence[int | str],
    seeds: Sequence[int],
    lrs: Sequence[float] | Mapping[tuple[str, int | str], float],
    out: Path,
) -> list[Cell]:
    """All cells, seed after seed so that an interrupted comparison has whole rounds.

    Args:
        shared: nested options of a recipe that every cell has.
        variants: what is compared.
        shots: pictures to tune on, or "all".
        seeds: of the runs.
        lrs: learning rates, or one for each (label, shots); none: each variant's own. A variant that names its own
            learning rate keeps that alone.
        out: folder of the comparison.

    Raises:
        LvtuneError: whatever is wrong with the recipe of any.
    """
    cells = []
    for seed in seeds:
        for count in shots:
            for variant in variants:
                names_lr = (variant.changes.get("train") or {}).get("lr") is not None
                asked = (lrs[variant.label, count],) if isinstance(lrs, Mapping) and not names_lr else lrs
                for lr in (None,) if names_lr or not lrs else asked:
                    name = f"{_slug(variant.label)}-{count}-{seed}" + ("" if lr is None else f"-lr{lr:g}")
                    folder = out / "cells" / name
                    over: dict[str, Any] = {"seed": seed, "out": str(folder)}
                    if count != ALL:
                        over["data"] = {"shots": count}
                    if lr is not None:
                        over["train"] = {"lr": lr}
                    recipe = Recipe.from_dict(merge(merge(shared, variant.changes, Recipe), over, Recipe))
                    cells.append(Cell(variant, count, seed, lr, folder, recipe))
    return cells


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Dotted options that decide the result, the method's defaults filled in."""
    from lvtune.adapters.method_registry import METHODS

    flat = flatten(recipe.resolved(METHODS.get(recipe.method).defaults).to_dict())
    return {name: value for name, value in flat.items() if name not in _FREE}
