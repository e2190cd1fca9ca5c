"""A row of a table that is tuned once and tested on several domains, such as hands from FreiHAND on STB and on RHD."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.core.files import write_text
from lvtune.domains import get_domain
from lvtune.domains.mixture import folders_of
from lvtune.experiments.runners import RUNNERS, Say, register_runner


@register_runner("adapt-parts")
def adapt_parts(recipe: Recipe, folder: Path, say: Say) -> None:
    """Tunes for the first part of the domain ``a+b``, tests on each, and writes their scores under ``parts``.

    A row whose recipe and seed are those of a finished run beside it takes that run's scores: the same settings stand
    in several tables of a paper.

    Raises:
        LvtuneError: as for :func:`lvtune.adapt`.
    """
    wanted = recipe.resolved(METHODS.get(recipe.method).defaults).to_dict()
    told = {"recipe": {**wanted, "out": None}, "seed": recipe.seed}
    same = _same_run(folder, told)
    if same is not None:
        say(f"the same run as {same.parent}")
        values = json.loads(same.read_text(encoding="utf-8")) | {"same_as": str(same.parent)}
    else:
        values = _run(recipe, folder, say) | told
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.json", json.dumps(values, indent=1))


def _run(recipe: Recipe, folder: Path, say: Say) -> dict[str, Any]:
    from lvtune.api.evaluating import evaluate
    from lvtune.hub.adapter_loading import load_base_for

    parts = {name: get_domain(name) for name in recipe.domain.split("+")}
    places = folders_of(parts, recipe.data.data)
    first, *others = parts
    of = lambda name: replace(recipe.data, data=places[name])  # noqa: E731
    RUNNERS.get("adapt")(replace(recipe, domain=first, data=of(first)), folder, say)
    values = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    values["parts"] = {first: values["target"]["after_on"]}
    options = recipe.evaluate
    for name in others:
        say(f"testing on {name}")
        data = replace(of(name), source_data=None, source_domain=None)
        # a base with random weights is the same again by its seed alone
        base = load_base_for(folder, recipe.base, recipe.weights, seed=recipe.seed)
        found = evaluate(base, folder, name, data=data, flip_test=options.flip_test, batch_size=options.batch_size,
                         device=recipe.device)  # fmt: skip
        values["parts"][name] = {key: found["target"][key] for key in values["parts"][first] if key in found["target"]}
    return values


def _same_run(folder: Path, told: dict[str, Any]) -> Path | None:
    """A report of the same recipe and seed in the folder of another row of the table."""
    # .../TABLE/ROW or .../TABLE/ROW/seed-N
    table = folder.parent.parent if folder.name.startswith("seed-") else folder.parent
    for file in sorted([*table.glob("*/report.json"), *table.glob("*/seed-*/report.json")]):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if "parts" in found and {name: found.get(name) for name in told} == json.loads(json.dumps(told)):
            return file
    return None
