"""Reproduces the tables of publications: runs their rows, and shows the published figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.api.run_marks import MarkReader, changed_mark
from lvtune.config.tables import merge
from lvtune.core.errors import DataError, LvtuneError, UsageError
from lvtune.core.registry import suggest
from lvtune.core.strict_json import read_json
from lvtune.core.text import shell_word
from lvtune.evaluation.intervals import mean_and_deviation
from lvtune.experiments.part_runner import recipes_of_parts  # registers its runner
from lvtune.experiments.published_gains import claims_of, gain_of
from lvtune.experiments.published_runs import differences, reports_of
from lvtune.experiments.published_tables import QUOTED, Row, Table, load_table
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
    """Returns the figures of a table as published and as found here; with ``run`` its rows are run first.

    Args:
        table: name of a shipped table, or a folder with a ``table.yaml``.
        rows: names of the rows; empty: all.
        runs: folder of the runs, ``RUNS/<table>/<row>/``.
        run: run the rows that have no finished run.
        data: domain to folder, such as ``{"humanart": "HumanArt/", "coco": "coco/"}``.
        weights: base to your own weights of it, such as ``{"vitpose-s": "converted/"}``.
        seeds: seeds of the runs; with several seeds the runs are in folders ``seed-0`` and so on.
        changes: options that replace those of every row, by dotted names (``{"train.steps": 2}``), for a trial.
        say: receives a line of progress.

    Returns:
        ``table``, ``number`` (in the publication), ``title``, ``source``, ``note``, ``figure`` (its axes), ``columns``
        (name to title), ``claims`` (see :func:`lvtune.experiments.published_gains.claims_of`) and ``rows``: each with
        ``name``, ``label``, ``group``, ``series``, ``base``, ``method``, ``trainable``, ``quoted`` (True: figures of
        others alone; it is never run), ``needs``, ``reference``
        (column to published figure), ``ours`` (column to mean), ``spread`` (column to standard deviation), ``gain``
        (``reference`` and ``ours``: column to the gain over the row that it is compared with), ``runs`` (their number),
        ``folders`` (of the runs), ``differs`` (options that are not the row's), ``parameters`` and ``problem`` (why a
        run failed).

    Raises:
        LvtuneError: there is no such table or row; a folder or weights are given for a name that no row uses.
    """
    read = load_table(table)
    chosen = [read.row(name) for name in rows] or list(read.rows)
    _check_names(chosen, data or {}, weights or {})
    options = {"runs": Path(runs), "data": data, "weights": weights, "changes": changes}
    problems = _run_rows(read, chosen, seeds, options, say) if run else {}
    lines = {row.name: _line(read, row, Path(runs), problems.get(row.name)) for row in read.rows}
    return {
        "table": read.name,
        "number": read.facts.number,
        "title": read.facts.title,
        "source": read.facts.source,
        "note": read.facts.note,
        "figure": read.facts.figure,
        "columns": {name: column.title for name, column in read.columns.items()},
        "claims": claims_of(read, lines),
        "rows": [lines[row.name] | {"gain": gain_of(read, row, lines)} for row in chosen],
    }


def _run_rows(
    table: Table, rows: Sequence[Row], seeds: Sequence[int], options: Mapping[str, Any], say: Say
) -> dict[str, LvtuneError]:
    """Runs the rows that have no finished run; returns name to error of the rows that failed.

    An error ends its own row alone, and is shown in that row.
    """
    problems: dict[str, LvtuneError] = {}
    reader = MarkReader()
    for row in rows:
        if row.facts.run == QUOTED:
            say(f"{table.name}/{row.name}: figures that others published; there is nothing to run")
            continue
        try:
            for seed in seeds:
                folder = options["runs"] / table.name / row.name / (f"seed-{seed}" if len(seeds) > 1 else "")
                recipe = recipe_of(table, row, seed=seed, **options)
                if (folder / "report.json").is_file():
                    _check_finished(folder, recipe, reader)
                    continue
                say(f"{table.name}/{row.name}, seed {seed}")
                RUNNERS.get(row.facts.run)(recipe, folder, say)
        except LvtuneError as error:
            problems[row.name] = error
    return problems


def _check_finished(folder: Path, recipe: Recipe, reader: MarkReader) -> None:
    """Raises a UsageError for a finished run on other data, or from another base or start, than the row has now.

    Where these cannot be opened here, or an earlier version did not record them, there is nothing to compare.
    """
    report = read_json(folder / "report.json", error=DataError, fix="remove it, and run the row again")
    kept = report if isinstance(report, dict) else {}
    before = kept.get("part_marks") or {"": kept.get("marks")}
    try:
        recipes = recipes_of_parts(recipe) if "part_marks" in kept else {"": recipe}
        now = {part: reader.of(one) for part, one in recipes.items()}
    except LvtuneError:
        return
    differs = [
        changed_mark(marks, now[part]) for part, marks in before.items() if isinstance(marks, dict) and part in now
    ]
    found = next(filter(None, differs), "")
    if found:
        raise UsageError(
            f"{folder}, a run with {found} than now", "a run of the row on the present data",
            f"choose another --runs, or remove {shell_word(folder)}",
        )  # fmt: skip


def _check_names(rows: Sequence[Row], data: Mapping[str, str], weights: Mapping[str, str]) -> None:
    """Raises a UsageError for a folder or weights under a name that no row can use."""
    from lvtune.domains import list_domains

    bases = list(dict.fromkeys(row.recipe.get("base", Recipe.base) for row in rows if row.facts.run != QUOTED))
    for given, known, option in ((data, list_domains(), "--data"), (weights, bases, "--weights")):
        for name in given:
            if name not in known:
                raise UsageError(f"{option} for '{name}'", f"one of {', '.join(known)}",
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
    """Returns the recipe of a row with the user's folders, weights and changes; see :func:`reproduce`."""
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
    """Returns the user's weights of the base, else those that another row tuned, else the recipe's."""
    if recipe.base in given and row.facts.run != "base":
        return given[recipe.base]
    if not row.facts.weights_of:
        return recipe.weights
    tuned = runs / table.name / row.facts.weights_of
    file = next(iter(sorted([*tuned.glob(BASE_FILE), *tuned.glob(f"*/{BASE_FILE}")])), None)
    if file is None:
        raise UsageError(
            f"row '{row.name}' without {recipe.base} trained as row '{row.facts.weights_of}'",
            f"{tuned / BASE_FILE}, or weights of your own",
            f"run row {row.facts.weights_of} first, or give --weights {recipe.base}=FILE",
        )
    return str(file)


def _folder(domain: str, folders: Mapping[str, str], given: str | None) -> str | None:
    """Returns the folder given for a domain; for a mixture ``a+b`` those of its parts as ``a=FOLDER,b=FOLDER``."""
    names = [part.strip().partition("/")[0] for part in domain.split("+")]
    if len(names) > 1 and set(names) <= set(folders):
        return ",".join(f"{name}={folders[name]}" for name in names)
    return folders.get(names[0], given) if len(names) == 1 else given


def _nested(name: str, value: Any) -> dict[str, Any]:
    """Returns a value under a dotted name as nested tables."""
    outer, _, rest = name.partition(".")
    return {outer: _nested(rest, value) if rest else value}


def _line(table: Table, row: Row, runs: Path, problem: LvtuneError | None) -> dict[str, Any]:
    """Returns a row of :func:`reproduce`."""
    runs_of_row = reports_of(runs, table.name, row.name)
    reports = list(runs_of_row.values())
    spreads = {
        name: mean_and_deviation([table.ours(row, name, report) for report in reports]) for name in table.columns
    }
    adapters = [(report.get("adapter") or {}) for report in reports if isinstance(report.get("adapter"), Mapping)]
    return {
        "name": row.name,
        "label": row.facts.label,
        "group": row.facts.group,
        "series": row.facts.series,
        "base": row.recipe.get("base", Recipe.base) if row.facts.run != QUOTED else None,
        "method": Recipe.from_dict(row.recipe).method if row.facts.run not in ("evaluate", QUOTED) else None,
        "trainable": row.facts.trainable,
        "quoted": row.facts.run == QUOTED,
        "needs": table.needs(row),
        "reference": {name: table.reference(row, name) for name in table.columns},
        "ours": {name: value and value[0] for name, value in spreads.items()},
        "spread": {name: value and value[1] for name, value in spreads.items()},
        "runs": len(reports),
        "folders": [str(folder) for folder in runs_of_row],
        "differs": sorted({name for report in reports for name in differences(row, report)}),
        "parameters": next((a["parameters"] for a in adapters if "parameters" in a), None),
        "problem": None if problem is None else {n: getattr(problem, n) for n in ("given", "expected", "fix")},
    }
