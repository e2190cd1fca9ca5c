"""The runs of a comparison, called cells: each is one variant, number of pictures, seed and learning rate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.config.schema import hints_of, with_new_names
from lvtune.config.tables import merge
from lvtune.config.yaml_files import read_yaml
from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.core.text import brief

ALL = "all"
"""In place of a number of pictures: all annotated pictures."""


@dataclass(frozen=True)
class Variant:
    """One method with its options, as compared with others."""

    label: str
    """As typed, such as ``lora:r=4``; the variant's name in tables."""
    changes: dict[str, Any]
    """Nested options of a recipe, merged over the options that all variants share."""


@dataclass(frozen=True)
class Cell:
    """One run of a comparison."""

    variant: Variant
    shots: int | str
    """Number of annotated pictures to tune on, or "all"."""
    seed: int
    lr: float | None
    """One of the learning rates compared; None: the variant's own, or its method's."""
    folder: Path
    recipe: Recipe

    @property
    def name(self) -> str:
        """Name of the cell and of its folder."""
        return self.folder.name


def variants_of(methods: Sequence[str] | str, file: str | Path | None = None) -> list[Variant]:
    """Reads the variants to compare.

    Args:
        methods: names, each with options after a colon: ``lora:r=4,lr=1e-3``. An option belongs to the method or to
            :class:`lvtune.config.options.TrainOptions`, or has a dotted name (``language.mode=human``). One string may
            hold several methods.
        file: YAML table from label to options of a recipe (``full-slow: {method: full, train: {lr: 1e-4}}``).

    Raises:
        LvtuneError: an unknown method or option, a label given twice, nothing to compare.
    """
    text = methods if isinstance(methods, str) else ",".join(methods)
    variants = [_variant(words) for words in _split(text)]
    if file is not None:
        table = read_yaml(file)
        wrong = next((label for label, changes in table.items() if not isinstance(changes, Mapping)), None)
        if wrong is not None:
            raise UsageError(f"{file}: {wrong}: {brief(table[wrong])}", "label: {options of a recipe}",
                             f"write `{wrong}: {{method: lora, train: {{lr: 1e-3}}}}`")  # fmt: skip
        variants += [Variant(str(label), dict(changes)) for label, changes in table.items()]
    if not variants:
        raise UsageError("nothing to compare", "methods, or a file of variants", "give --methods vlpose-light,full")
    _check_labels(variants)
    return variants


def _check_labels(variants: Sequence[Variant]) -> None:
    """Raises a UsageError if two variants would have the same folder."""
    taken: dict[str, str] = {}
    for variant in variants:
        slug = _slug(variant.label)
        if slug in taken:
            raise UsageError(f"'{variant.label}' besides '{taken[slug]}'", "labels that differ in letters or digits",
                             "rename or drop one of them")  # fmt: skip
        taken[slug] = variant.label


def _split(text: str) -> list[list[str]]:
    """Returns each method's name and its ``name=value`` words; any other word continues the value before it."""
    methods: list[list[str]] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, colon, option = word.partition(":")
        if name in METHODS.names() or not methods or (colon and "=" not in name):
            METHODS.get(name)
            methods.append([name, option] if option else [name])
        elif "=" in word:
            methods[-1].append(word)
        elif len(methods[-1]) > 1:
            methods[-1][-1] += f",{word}"
        else:
            METHODS.get(word)  # raises, with the closest name
    return methods


def _variant(words: Sequence[str]) -> Variant:
    method, *options = words
    config = METHODS.get(method).Config
    own, shared = list(hints_of(config)), list(hints_of(TrainOptions))
    changes: dict[str, Any] = {"method": method}
    for word in options:
        name, equals, value = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise UsageError(f"'{method}:{word}'", "options as name=value", f"such as {method}:lr=1e-3")
        if name in own or with_new_names(config, {name: value})[1]:
            place = ("method_options", name)
        elif name in shared:
            place = ("train", name)
        elif "." in name:
            place = tuple(name.split("."))
        else:
            raise UsageError(f"option '{name}' of '{method}'", f"one of {', '.join(own + shared)}",
                             suggest(name, own + shared, "remove it"))  # fmt: skip
        nested: Any = value
        for key in reversed(place):
            nested = {key: nested}
        changes = merge(changes, nested, Recipe)
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
    """Builds all cells, one seed after the other, so that an interrupted comparison has complete seeds.

    Args:
        shared: nested options of a recipe that all cells have.
        variants: the variants to compare.
        shots: numbers of pictures to tune on, or "all".
        seeds: seeds of the runs.
        lrs: learning rates, or one learning rate for each (label, shots); empty: each variant's own. A variant with a
            learning rate of its own keeps it.
        out: folder of the comparison.

    Raises:
        LvtuneError: one of the recipes is wrong.
    """
    return [
        _cell(shared, variant, shots=count, seed=seed, lr=lr, out=out)
        for seed in seeds
        for count in shots
        for variant in variants
        for lr in _rates(variant, count, lrs)
    ]


def _rates(
    variant: Variant, shots: int | str, lrs: Sequence[float] | Mapping[tuple[str, int | str], float]
) -> Iterator[float | None]:
    if not lrs or (variant.changes.get("train") or {}).get("lr") is not None:
        yield None
    elif isinstance(lrs, Mapping):
        yield lrs[variant.label, shots]
    else:
        yield from lrs


def _cell(
    shared: Mapping[str, Any], variant: Variant, *, shots: int | str, seed: int, lr: float | None, out: Path
) -> Cell:
    name = f"{_slug(variant.label)}-{shots}-{seed}" + ("" if lr is None else f"-lr{lr:g}")
    folder = out / "cells" / name
    own: dict[str, Any] = {"seed": seed, "out": str(folder)}
    if shots != ALL:
        own["data"] = {"shots": shots}
    if lr is not None:
        own["train"] = {"lr": lr}
    # a comparison shows no calibrated confidence, and every variant is to have all pictures
    whole = merge(merge({"calibrate": "none"}, shared, Recipe), variant.changes, Recipe)
    recipe = Recipe.from_dict(merge(whole, own, Recipe))
    if recipe.data.shots == 0 and not recipe.unlabelled:
        raise UsageError(
            "0 pictures to tune on", "at least 1, or all", "give --shots 20,60,all, or --unlabelled FOLDER"
        )
    return Cell(variant, shots, seed, lr, folder, recipe)
