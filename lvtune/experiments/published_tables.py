"""Tables of publications as YAML: a folder of recipes, one a row, with the printed figures as references.

The format stands in ``recipes/README.md``. This page reads it and looks our figures up; what is run, and how, is
:mod:`lvtune.experiments.reproducing`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.config.schema import build, raise_problems
from lvtune.config.tables import flatten, without_replaced
from lvtune.config.yaml_files import ROW_KEYS, read_whole_yaml, recipe_folder
from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest

Reference = dict[str, float]


@dataclass(frozen=True)
class Column:
    """A figure that every row may have."""

    title: str
    """Head of the column."""
    report: str | None = None
    """Place of our figure in a row's report.json, parted by "/"; ``{name}`` is filled in from ``scores``."""
    mean: tuple[str, ...] = ()
    """Columns whose mean this is, in place of ``report``."""


@dataclass(frozen=True)
class RowFacts:
    """The ``row`` block of a row's file."""

    label: str
    """First cell."""
    group: str = ""
    """Rows of one group are compared with one another."""
    series: str = ""
    """Rows of one series have one colour in figures."""
    run: str = "adapt"
    """Name of the runner."""
    trainable: int | None = None
    """Exact number of trainable parameters."""
    scores: dict[str, str] = field(default_factory=dict)
    """Over the table's."""
    needs: str = ""
    """Over the table's."""
    weights_of: str = ""
    """Row of the same table whose tuned base this row starts from."""


@dataclass(frozen=True)
class TableFacts:
    """``table.yaml``."""

    title: str
    """Printed above the table."""
    source: str
    """Whose figures the references are."""
    columns: dict[str, Any]
    """Name to :class:`Column`."""
    rows: tuple[str, ...]
    """Files beside this one, in the order printed."""
    note: str = ""
    """Printed below."""
    needs: str = ""
    """What a run of any row takes."""
    scores: dict[str, str] = field(default_factory=dict)
    """Name to place in report.json, for the columns' ``report``."""
    figure: dict[str, str] = field(default_factory=dict)
    """``source`` and ``target``: the columns that a figure has as its axes."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    facts: RowFacts
    reference: Reference | None
    """Column to figure, as printed; None where our sources have none."""
    recipe: dict[str, Any]
    """The options of a recipe, as in the file."""


@dataclass(frozen=True)
class Table:
    """A table with its rows read."""

    name: str
    facts: TableFacts
    columns: dict[str, Column]
    rows: tuple[Row, ...]

    def row(self, name: str) -> Row:
        """The row of a file name.

        Raises:
            LvtuneError: there is none.
        """
        found = next((row for row in self.rows if row.name == name), None)
        if found is None:
            names = [row.name for row in self.rows]
            raise LvtuneError(
                f"unknown row '{name}' of table '{self.name}'", f"one of {', '.join(names)}",
                suggest(name, names, f"`lvtune reproduce {self.name}` shows them"),
            )  # fmt: skip
        return found

    def needs(self, row: Row) -> str:
        """What a run of the row takes."""
        return row.facts.needs or self.facts.needs

    def reference(self, row: Row, column: str) -> float | None:
        """The figure as printed."""
        return (row.reference or {}).get(column)

    def ours(self, row: Row, column: str, report: Mapping[str, Any]) -> float | None:
        """The figure in a row's report; None where it has none."""
        wanted = self.columns[column]
        if wanted.mean:
            parts = [self.ours(row, name, report) for name in wanted.mean]
            return None if None in parts else statistics.fmean(parts)
        place = (wanted.report or "").format_map({**self.facts.scores, **row.facts.scores})
        value: Any = report
        for key in place.split("/"):
            value = value.get(key) if isinstance(value, Mapping) else None
        return float(value) if isinstance(value, int | float) else None


def list_tables() -> list[str]:
    """Names of the shipped tables."""
    return sorted(file.parent.name for file in recipe_folder().glob("*/table.yaml"))


def load_table(name: str) -> Table:
    """A shipped table by name, or a folder with a ``table.yaml``.

    Raises:
        LvtuneError: no such table; a fault of any of its files.
    """
    places = [Path(name), recipe_folder() / name]
    folder = next((place for place in places if (place / "table.yaml").is_file()), None)
    if folder is None:
        known = list_tables()
        raise LvtuneError(
            f"unknown table '{name}'", f"one of {', '.join(known)}, or a folder with table.yaml",
            suggest(name, known, "`lvtune list tables` shows them"),
        )  # fmt: skip
    file = folder / "table.yaml"
    facts = _made(TableFacts, read_whole_yaml(file), file)
    columns = {key: _made(Column, value, f"{file}: columns.{key}") for key, value in facts.columns.items()}
    lacking = [part for column in columns.values() for part in column.mean if part not in columns]
    if lacking:
        raise LvtuneError(f"{file} with a mean of '{lacking[0]}'", f"columns among {', '.join(columns)}", "mend it")
    strange = [name for name in facts.figure.values() if name not in columns]
    if strange:
        raise LvtuneError(f"{file} with a figure of '{strange[0]}'", f"columns among {', '.join(columns)}", "mend it")
    rows = tuple(_row(folder / f"{row}.yaml", columns) for row in facts.rows)
    return Table(folder.name, facts, columns, rows)


def _row(file: Path, columns: Mapping[str, Column]) -> Row:
    if not file.is_file():
        raise LvtuneError(f"no file {file}", "a recipe for each row of table.yaml", "write it, or drop the row")
    values = read_whole_yaml(file)
    lacking = [key for key in ROW_KEYS if key not in values]
    if lacking:
        fix = "write `reference: null` where the publication's figures are not at hand"
        raise LvtuneError(f"{file} without `{lacking[0]}`", "the keys row and reference", fix)
    reference = values["reference"]
    strange = [name for name in reference or () if name not in columns]
    if strange:
        raise LvtuneError(f"{file} with a reference for '{strange[0]}'", f"columns among {', '.join(columns)}",
                          suggest(strange[0], list(columns), "drop it"))  # fmt: skip
    recipe = {name: value for name, value in values.items() if name not in ROW_KEYS}
    Recipe.from_dict(recipe)
    figures = None if reference is None else {name: float(value) for name, value in reference.items()}
    return Row(file.stem, _made(RowFacts, values["row"], f"{file}: row"), figures, recipe)


def _made(cls: type, values: Any, where: object) -> Any:
    if not isinstance(values, Mapping):
        raise LvtuneError(f"{where}: {values!r}", "a table of options", "see recipes/README.md")
    problems = [(f"{where} without `{f}`", "all of its keys", "see recipes/README.md") for f in _required(cls, values)]
    made, more = build(cls, values) if not problems else (None, [])
    raise_problems([*problems, *((f"{where}: {given}", expected, fix) for given, expected, fix in more)])
    return made


def _required(cls: type, values: Mapping[str, Any]) -> list[str]:
    from dataclasses import MISSING, fields

    empty = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    return [name for name in empty if name not in values]


def reports_of(runs: Path, table: str, row: str) -> dict[Path, dict[str, Any]]:
    """Folder to report of every finished run of a row: ``RUNS/<table>/<row>/report.json`` and those one folder deeper.

    Raises:
        LvtuneError: a report that is not JSON.
    """
    folder = runs / table / row
    found = {}
    for file in sorted([*folder.glob("report.json"), *folder.glob("*/report.json")]):
        try:
            found[file.parent] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise LvtuneError(f"{file}, which is not JSON ({error})", "a report of a run", "remove it") from error
    return found


def spread(values: Sequence[float | None]) -> tuple[float, float | None] | None:
    """Mean and standard deviation over runs (of one run: None); None where a run lacks the figure, or without runs."""
    if not values or None in values:
        return None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


#: Options that may differ between a row and its run without making it another experiment.
_FREE = ("out", "seed", "device", "weights", "train.workers", "train.precision", "train.checkpoint_every",
         "evaluate.batch_size", "data.data", "data.source_data", "data.annotations", "data.test_annotations",
         "data.source_annotations")  # fmt: skip


def differences(row: Row, report: Mapping[str, Any]) -> list[str]:
    """Options in which a run departs from its row, such as ``train.steps``; [] for the row as written."""
    from lvtune.adapters.method_registry import METHODS

    recipe = Recipe.from_dict(row.recipe)
    wanted = flatten(recipe.resolved(METHODS.get(recipe.method).defaults).to_dict())
    given = flatten(without_replaced(report.get("recipe") or {}, Recipe))
    # what is minimised is written into a run's recipe even where the row leaves it to the base
    free = _FREE if recipe.objective else (*_FREE, "objective")
    names = [name for name in dict.fromkeys([*wanted, *given]) if name not in free]
    return [name for name in names if wanted.get(name) != given.get(name)]
