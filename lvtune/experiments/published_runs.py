"""Finished runs of the rows of a published table: their reports, and where they differ from their row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.api.recipe_settings import NO_EFFECT
from lvtune.config.tables import flatten, without_replaced
from lvtune.experiments.published_tables import Row
from lvtune.experiments.report_file import read_report


def reports_of(runs: Path, table: str, row: str) -> dict[Path, dict[str, Any]]:
    """Reads the reports of all finished runs of a row.

    Args:
        runs: folder of the runs; it holds ``<table>/<row>/report.json``, or ``<table>/<row>/seed-N/report.json``.
        table: name of the table.
        row: name of the row.

    Returns:
        Folder of each run to its report.

    Raises:
        LvtuneError: a report is not JSON.
    """
    folder = runs / table / row
    found = {}
    for file in sorted([*folder.glob("report.json"), *folder.glob("*/report.json")]):
        found[file.parent] = read_report(file)
    return found


_FREE = (*NO_EFFECT, "seed", "weights", "train.precision", "data.data", "data.source_data", "data.annotations",
         "data.test_annotations", "data.source_annotations")  # fmt: skip
"""Options that may differ between a row and its run: the run is still the row's experiment."""


_OF_EVALUATION = ("base", "domain", "data.", "evaluate.")
"""Beginnings of the options that decide the scores of a base alone."""


def differences(row: Row, report: Mapping[str, Any]) -> list[str]:
    """Returns the options in which a run differs from its row, such as ``train.steps``."""
    recipe = Recipe.from_dict(row.recipe)
    if row.facts.run == "evaluate":  # the base alone: no method acts, nothing is trained
        given, wanted = (flatten(values) for values in (report.get("recipe") or {}, recipe.to_dict()))
        names = [n for n in dict.fromkeys([*wanted, *given]) if n.startswith(_OF_EVALUATION) and n not in _FREE]
        return [name for name in names if name != "evaluate.category" and wanted.get(name) != given.get(name)]
    wanted = flatten(recipe.resolved(METHODS.get(recipe.method).defaults).to_dict())
    given = flatten(without_replaced(report.get("recipe") or {}, Recipe))
    # a run writes its objective into the recipe even where the row leaves it to the base
    free = _FREE if recipe.objective else (*_FREE, "objective")
    names = [name for name in dict.fromkeys([*wanted, *given]) if name not in free]
    return [name for name in names if wanted.get(name) != given.get(name)]
