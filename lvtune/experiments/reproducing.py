"""A publication's table: its figures, ours, and how to run a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.config.tables import merge
from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest
from lvtune.experiments import part_runner  # noqa: F401 - registers its runner
from lvtune.experiments.published_tables import (
    Row,
    Table,
    differences,
    load_table,
    reports_of,
    spread,
)
from lvtune.experiments.runners import BASE_FILE, RUNNERS, Say

RUNS = Path("lvtune-out") / "reproduce"


def reproduce(
    table: str,
    *,
    rows: Sequence[str] = (),
    runs: str | Path = RUNS,
    run: bool = False,
    data: Mapping[str, str] | None = None,
    weights: Mapping[str, str] | None = None,
    seeds: Sequence[int] = (0,),
    changes: Mapping[str, Any] | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """The table as printed and as found here; with ``run`` its rows are run first.

    Args:
        table: name of a shipped table, or a folder with a ``table.yaml``.
        rows: names of the rows wanted; none: all.
        runs: folder of the runs, ``RUNS/<table>/<row>/``.
        run: run the rows that have no finished run yet.
        data: domain to folder, such as ``{"humanart": "HumanArt/", "coco": "coco/"}``.
        weights: base to weights of one's own, such as ``{"vitpose-s": "converted/"}``.
        seeds: of the runs; several stand in folders ``seed-0`` and so on.
        changes: options over every row's, by dotted names (``{"train.steps": 2}``), for a trial.
        say: told what is being done.

    Returns:
        ``table``, ``title``, ``source``, ``note``, ``figure`` (its axes), ``columns`` (name to title) and ``rows``:
        each with ``name``, ``label``, ``group``, ``series``, ``trainable``, ``needs``, ``reference`` (column to
        figure), ``ours`` (column to mean), ``spread`` (column to standard deviation), ``runs`` (how many), their
        ``folders``, ``differs`` (options that are not the row's), ``parameters`` and ``problem`` (why a run failed).

    Raises:
        LvtuneError: no such table or row.
    """
    read = load_table(table)
    chosen = [read.row(name) for name in rows] or list(read.rows)
    _check_names(chosen, data or {}, weights or {})
    problems: dict[str, LvtuneError] = {}
    if run:
        for row in chosen:
            try:
                for seed in seeds:
                    folder = Path(runs) / read.name / row.name / (f"seed-{seed}" if len(seeds) > 1 else "")
                    if (folder / "report.json").is_file():
                        continue
                    say(f"{read.name}/{row.name}, seed {seed}")
                    asked = {"data": data, "weights": weights, "seed": seed, "changes": changes}
                    recipe = recipe_of(read, row, runs=Path(runs), **asked)
                    RUNNERS.get(row.facts.run)(recipe, folder, say)
            except LvtuneError as error:
                # one row without its weights must not keep the others from being run
                problems[row.name] = error
    return {
        "table": read.name,
        "title": read.facts.title,
        "source": read.facts.source,
        "note": read.facts.note,
        "figure": read.facts.figure,
        "columns": {name: column.title for name, column in read.columns.items()},
        "rows": [_line(read, row, Path(runs), problems.get(row.name)) for row in chosen],
    }


def _check_names(rows: Sequence[Row], data: Mapping[str, str], weights: Mapping[str, str]) -> None:
    """Raises a LvtuneError for a folder or weights that no row would ever look at."""
    from lvtune.domains import list_domains

    bases = list(dict.fromkeys(row.recipe.get("base", Recipe.base) for row in rows))
    for given, known, option in ((data, list_domains(), "--data"), (weights, bases, "--weights")):
        for name in given:
            if name not in known:
                raise LvtuneError(f"{option} for '{name}'", f"one of {', '.join(known)}",
                                  suggest(name, known, f"such as {option} {known[0]}=PATH"))  # fmt: skip


def recipe_of(
    table: Table,
    row: Row,
    *,
    runs: Path = RUNS,
    data: Mapping[str, str] | None = None,
    weights: Mapping[str, str] | None = None,
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe of a row with the user's folders, weights and changes in it; see :func:`reproduce`."""
    recipe = Recipe.from_dict(row.recipe)
    folders = dict(data or {})
    options = recipe.data
    own = {
        "data": _folder(recipe.domain, folders, options.data),
        "source_data": _folder(options.source_domain or "", folders, options.source_data),
    }
    recipe = replace(recipe, seed=seed, data=replace(options, **own))
    recipe = replace(recipe, weights=_weights(table, row, recipe, runs, weights or {}))
    for name, value in (changes or {}).items():
        recipe = Recipe.from_dict(merge(recipe.to_dict(), _nested(name, value), Recipe))
    return recipe


def _weights(table: Table, row: Row, recipe: Recipe, runs: Path, given: Mapping[str, str]) -> str:
    """The user's weights of the base; else those that another row of the table left; else the recipe's."""
    if recipe.base in given and row.facts.run != "base":
        return given[recipe.base]
    if not row.facts.weights_of:
        return recipe.weights
    tuned = runs / table.name / row.facts.weights_of
    file = next(iter(sorted([*tuned.glob(BASE_FILE), *tuned.glob(f"*/{BASE_FILE}")])), None)
    if file is None:
        raise LvtuneError(
            f"row '{row.name}' without {recipe.base} trained as row '{row.facts.weights_of}'",
            f"{tuned / BASE_FILE}, or weights of your own",
            f"run row {row.facts.weights_of} first, or give --weights {recipe.base}=FILE",
        )
    return str(file)


def _folder(domain: str, folders: Mapping[str, str], given: str | None) -> str | None:
    """The folder named for a domain; of a mixture each part's, as ``DataOptions.data`` takes them."""
    names = [part.strip().partition("/")[0] for part in domain.split("+")]
    if len(names) > 1 and set(names) <= set(folders):
        return ",".join(f"{name}={folders[name]}" for name in names)
    return folders.get(names[0], given) if len(names) == 1 else given


def _nested(name: str, value: Any) -> dict[str, Any]:
    """Returns a value under a dotted name as nested tables."""
    outer, _, rest = name.partition(".")
    return {outer: _nested(rest, value) if rest else value}


def _line(table: Table, row: Row, runs: Path, problem: LvtuneError | None) -> dict[str, Any]:
    """A row as printed and as found here."""
    runs_of_row = reports_of(runs, table.name, row.name)
    reports = list(runs_of_row.values())
    found = {name: spread([table.ours(row, name, report) for report in reports]) for name in table.columns}
    adapters = [(report.get("adapter") or {}) for report in reports if isinstance(report.get("adapter"), Mapping)]
    return {
        "name": row.name,
        "label": row.facts.label,
        "group": row.facts.group,
        "series": row.facts.series,
        "base": row.recipe.get("base", Recipe.base),
        "method": row.recipe.get("method", Recipe.method) if row.facts.run != "evaluate" else None,
        "trainable": row.facts.trainable,
        "needs": table.needs(row),
        "reference": {name: table.reference(row, name) for name in table.columns},
        "ours": {name: value and value[0] for name, value in found.items()},
        "spread": {name: value and value[1] for name, value in found.items()},
        "runs": len(reports),
        "folders": [str(folder) for folder in runs_of_row],
        "differs": sorted({name for report in reports for name in differences(row, report)}),
        "parameters": next((a["parameters"] for a in adapters if "parameters" in a), None),
        "problem": None if problem is None else {n: getattr(problem, n) for n in ("given", "expected", "fix")},
    }
