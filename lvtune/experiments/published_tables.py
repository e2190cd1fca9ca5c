"""Reads tables of publications: a folder of recipes in YAML, one per row, with the published figures as references.

``recipes/README.md`` describes the format. :mod:`lvtune.experiments.published_runs` reads the reports of runs, and
:mod:`lvtune.experiments.reproducing` runs the rows.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.config.schema import build, raise_problems
from lvtune.config.yaml_files import ROW_KEYS, read_whole_yaml, recipe_folder
from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.core.text import brief

Reference = dict[str, float]


@dataclass(frozen=True)
class Column:
    """One column of figures."""

    title: str
    """Head of the column."""
    report: str | None = None
    """Where our figure is in a row's report.json: keys separated by "/"; ``{name}`` is filled in from ``scores``."""
    mean: tuple[str, ...] = ()
    """Columns to take the mean of, in place of ``report``."""


@dataclass(frozen=True)
class RowFacts:
    """The ``row`` block of a row's file."""

    label: str
    """Text of the first cell."""
    group: str = ""
    """Rows of one group are compared with one another."""
    series: str = ""
    """Rows of one series have the same colour in figures."""
    run: str = "adapt"
    """Name of the runner, see :data:`lvtune.experiments.runners.RUNNERS`."""
    trainable: int | None = None
    """Exact number of trainable parameters."""
    scores: dict[str, str] = field(default_factory=dict)
    """Replaces entries of the table's ``scores``."""
    needs: str = ""
    """Replaces the table's ``needs``."""
    weights_of: str = ""
    """Row of the same table; this row starts from the base that it tuned."""
    gain_over: str = ""
    """Row of the same table; the gain over its figures stands in brackets."""


@dataclass(frozen=True)
class Claim:
    """A difference of two rows that the publication claims in its text."""

    title: str
    """Text of the first cell."""
    column: str
    """Column of both figures."""
    row: str
    """Row whose figure is the larger one."""
    over: str
    """Row whose figure is subtracted."""
    printed: float
    """The difference as printed."""


QUOTED = "quoted"
"""``RowFacts.run`` of a row that is not run here."""


@dataclass(frozen=True)
class QuotedRow:
    """A line of figures that others published for a method that is not here; it has no recipe and is never run."""

    label: str
    """Text of the first cell."""
    reference: Reference
    """Column to figure."""
    group: str = ""
    """As in :class:`RowFacts`."""


@dataclass(frozen=True)
class TableFacts:
    """``table.yaml``."""

    title: str
    """Printed above the table."""
    source: str
    """The publication that the references are taken from."""
    columns: dict[str, Any]
    """Name to :class:`Column`."""
    rows: tuple[str, ...]
    """Names of the files beside this one, and of ``quoted``, in the order printed."""
    quoted: dict[str, Any] = field(default_factory=dict)
    """Name to :class:`QuotedRow`."""
    number: str = ""
    """Number of the table in the publication, or what our sources call it."""
    note: str = ""
    """Printed below the table."""
    needs: str = ""
    """Data and weights that a run of any row needs."""
    scores: dict[str, str] = field(default_factory=dict)
    """Name to a place in report.json, for ``report`` of the columns."""
    figure: dict[str, str] = field(default_factory=dict)
    """``source`` and ``target``: the columns for the axes of the figure. ``groups``: those drawn, with commas; left
    out: all. ``join``: ``series`` or ``group``, whose points a line joins; left out: group."""
    claims: dict[str, Any] = field(default_factory=dict)
    """Name to :class:`Claim`."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    facts: RowFacts
    reference: Reference | None
    """Column to figure, as published; None if we do not have the publication's figures."""
    recipe: dict[str, Any]
    """Options of a recipe, as in the file."""


@dataclass(frozen=True)
class Table:
    """A table with all its rows."""

    name: str
    facts: TableFacts
    columns: dict[str, Column]
    rows: tuple[Row, ...]
    claims: dict[str, Claim] = field(default_factory=dict)

    def row(self, name: str) -> Row:
        """Returns the row with a name, which is its file's without the suffix.

        Raises:
            LvtuneError: there is no such row.
        """
        found = next((row for row in self.rows if row.name == name), None)
        if found is None:
            names = [row.name for row in self.rows]
            raise UsageError(
                f"unknown row '{name}' of table '{self.name}'", f"one of {', '.join(names)}",
                suggest(name, names, f"`lvtune reproduce {self.name}` shows them"),
            )  # fmt: skip
        return found

    def needs(self, row: Row) -> str:
        """Returns the data and weights that a run of the row needs."""
        return row.facts.needs or self.facts.needs

    def reference(self, row: Row, column: str) -> float | None:
        """Returns the figure as published."""
        return (row.reference or {}).get(column)

    def ours(self, row: Row, column: str, report: Mapping[str, Any]) -> float | None:
        """Returns our figure from a row's report; None if the report does not have it."""
        wanted = self.columns[column]
        if wanted.mean:
            parts = [self.ours(row, name, report) for name in wanted.mean]
            known = [value for value in parts if value is not None]
            return statistics.fmean(known) if len(known) == len(parts) else None
        place = (wanted.report or "").format_map({**self.facts.scores, **row.facts.scores})
        value: Any = report
        for key in place.split("/"):
            value = value.get(key) if isinstance(value, Mapping) else None
        return float(value) if isinstance(value, int | float) else None


def list_tables() -> list[str]:
    """Returns the names of the shipped tables."""
    return sorted(file.parent.name for file in recipe_folder().glob("*/table.yaml"))


def load_table(name: str) -> Table:
    """Reads a table.

    Args:
        name: of a shipped table, or the path of a folder with a ``table.yaml``.

    Raises:
        LvtuneError: there is no such table, or one of its files is wrong.
    """
    places = [Path(name), recipe_folder() / name]
    folder = next((place for place in places if (place / "table.yaml").is_file()), None)
    if folder is None:
        known = list_tables()
        raise UsageError(
            f"unknown table '{name}'", f"one of {', '.join(known)}, or a folder with table.yaml",
            suggest(name, known, "`lvtune list tables` shows them"),
        )  # fmt: skip
    file = folder / "table.yaml"
    facts = _built(TableFacts, read_whole_yaml(file), file)
    columns = {key: _built(Column, value, f"{file}: columns.{key}") for key, value in facts.columns.items()}
    lacking = [part for column in columns.values() for part in column.mean if part not in columns]
    if lacking:
        raise UsageError(f"{file} with a mean of '{lacking[0]}'", f"columns among {', '.join(columns)}", "correct it")
    axes = {key: name for key, name in facts.figure.items() if key not in _OF_FIGURE}
    unknown = [name for name in axes.values() if name not in columns]
    if unknown or facts.figure.get("join", "group") not in ("group", "series"):
        given = unknown[0] if unknown else f"join: {facts.figure['join']}"
        expected = f"columns among {', '.join(columns)}; join: group or series"
        raise UsageError(f"{file} with a figure of '{given}'", expected, "correct it")
    claims = {key: _built(Claim, value, f"{file}: claims.{key}") for key, value in facts.claims.items()}
    quoted = {key: _quoted(key, value, file, columns) for key, value in facts.quoted.items()}
    rows = tuple(quoted[row] if row in quoted else _row(folder / f"{row}.yaml", columns) for row in facts.rows)
    table = Table(folder.name, facts, columns, rows, claims)
    _check_names(table, file)
    return table


_OF_FIGURE = ("groups", "join")
"""Keys of a table's ``figure`` that name no column."""


def _check_names(table: Table, file: Path) -> None:
    """Raises a UsageError if a row or a claim names a row or a column that the table does not have."""
    rows = [row.name for row in table.rows]
    named = [(row.name, "gain_over", row.facts.gain_over) for row in table.rows if row.facts.gain_over]
    named += [(key, "row", name) for key, claim in table.claims.items() for name in (claim.row, claim.over)]
    wrong = [one for one in named if one[2] not in rows]
    wrong += [(key, "column", c.column) for key, c in table.claims.items() if c.column not in table.columns]
    if wrong:
        owner, what, name = wrong[0]
        raise UsageError(f"{file}: {owner} with {what} '{name}'", f"one of {', '.join(rows)} (columns: "
                         f"{', '.join(table.columns)})", "correct it")  # fmt: skip


def _row(file: Path, columns: Mapping[str, Column]) -> Row:
    if not file.is_file():
        raise UsageError(f"no file {file}", "a recipe for each row of table.yaml", "write it, or drop the row")
    values = read_whole_yaml(file)
    lacking = [key for key in ROW_KEYS if key not in values]
    if lacking:
        fix = "write `reference: null` where the publication's figures are not known"
        raise UsageError(f"{file} without `{lacking[0]}`", "the keys row and reference", fix)
    recipe = {name: value for name, value in values.items() if name not in ROW_KEYS}
    Recipe.from_dict(recipe)
    facts = _built(RowFacts, values["row"], f"{file}: row")
    return Row(file.stem, facts, _reference(values["reference"], file, columns), recipe)


def _quoted(name: str, values: Any, file: Path, columns: Mapping[str, Column]) -> Row:
    row = _built(QuotedRow, values, f"{file}: quoted.{name}")
    facts = RowFacts(row.label, row.group, run=QUOTED)
    return Row(name, facts, _reference(row.reference, file, columns), {})


def _reference(figures: Mapping[str, Any] | None, file: Path, columns: Mapping[str, Column]) -> Reference | None:
    unknown = [name for name in figures or () if name not in columns]
    if unknown:
        raise UsageError(f"{file} with a reference for '{unknown[0]}'", f"columns among {', '.join(columns)}",
                         suggest(unknown[0], list(columns), "drop it"))  # fmt: skip
    return None if figures is None else {name: float(value) for name, value in figures.items()}


def _built(cls: type, values: Any, where: object) -> Any:
    if not isinstance(values, Mapping):
        raise UsageError(f"{where}: {brief(values)}", "a table of options", "see recipes/README.md")
    problems = [(f"{where} without `{f}`", "all of its keys", "see recipes/README.md") for f in _required(cls, values)]
    value, more = build(cls, values) if not problems else (None, [])
    raise_problems([*problems, *((f"{where}: {given}", expected, fix) for given, expected, fix in more)])
    return value


def _required(cls: type, values: Mapping[str, Any]) -> list[str]:
    """Returns the fields of a dataclass that have no default and no value."""
    empty = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    return [name for name in empty if name not in values]
