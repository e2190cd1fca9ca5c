"""Runner of a row that is tuned once and tested on several domains, such as hands of FreiHAND on STB and on RHD."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.api.run_marks import MarkReader
from lvtune.core.files import write_text
from lvtune.domains import get_domain
from lvtune.domains.mixture import folders_of
from lvtune.experiments.report_file import read_report
from lvtune.experiments.runners import RUNNERS, Say, register_runner


@register_runner("adapt-parts")
def adapt_parts(recipe: Recipe, folder: Path, say: Say) -> None:
    """Tunes on the first part of the domain ``a+b``, tests on each part, and writes their scores under ``parts``.

    A row with the recipe and seed of a finished run in another row takes over that run's scores, because papers print
    the same settings in several tables.

    Raises:
        LvtuneError: as for :func:`lvtune.adapt`.
    """
    wanted = recipe.resolved(METHODS.get(recipe.method).defaults).to_dict()
    marks = MarkReader()
    parts = {name: marks.of(one) for name, one in recipes_of_parts(recipe).items()}
    identity = {"recipe": {**wanted, "out": None}, "seed": recipe.seed, "part_marks": parts}
    same = _same_run(folder, identity)
    if same is not None:
        say(f"the same run as {same.parent}")
        values = read_report(same) | {"same_as": str(same.parent)}
    else:
        values = _run(recipe, folder, say) | identity
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.json", json.dumps(values, indent=1))


def recipes_of_parts(recipe: Recipe) -> dict[str, Recipe]:
    """Returns a recipe for each part of a domain ``a+b``, with the part's folder of data."""
    parts = {name: get_domain(name) for name in recipe.domain.split("+")}
    places = folders_of(parts, recipe.data.data)
    return {name: replace(recipe, domain=name, data=replace(recipe.data, data=places[name])) for name in parts}


def _run(recipe: Recipe, folder: Path, say: Say) -> dict[str, Any]:
    from lvtune.api.evaluating import evaluate
    from lvtune.hub.adapter_loading import load_base_for

    recipes = recipes_of_parts(recipe)
    first, *others = recipes
    RUNNERS.get("adapt")(recipes[first], folder, say)
    values = read_report(folder / "report.json")
    values["parts"] = {first: values["target"]["after_on"]}
    options = recipe.evaluate
    for name in others:
        say(f"testing on {name}")
        data = replace(recipes[name].data, source_data=None, source_domain=None)
        # the seed makes a base with random weights the same again
        base = load_base_for(folder, recipe.base, recipe.weights, seed=recipe.seed)
        scores = evaluate(base, folder, name, data=data, flip_test=options.flip_test, batch_size=options.batch_size,
                          device=recipe.device)["target"]  # fmt: skip
        values["parts"][name] = {key: scores[key] for key in values["parts"][first] if key in scores}
    return values


def _same_run(folder: Path, identity: dict[str, Any]) -> Path | None:
    """Returns a report with the same recipe and seed from another row of the table; None if there is none."""
    # .../TABLE/ROW or .../TABLE/ROW/seed-N
    table = folder.parent.parent if folder.name.startswith("seed-") else folder.parent
    for file in sorted([*table.glob("*/report.json"), *table.glob("*/seed-*/report.json")]):
        report = read_report(file)
        if "parts" in report and {name: report.get(name) for name in identity} == json.loads(json.dumps(identity)):
            return file
    return None
