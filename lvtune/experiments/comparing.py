"""Runs a comparison: methods x numbers of pictures x seeds on one base and domain, with one table and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lvtune.api.method_choice import OWN, PUBLISHED
from lvtune.api.recipe import Recipe
from lvtune.api.recipe_inputs import recipe_files
from lvtune.api.report_data import environment
from lvtune.api.run_marks import MarkReader
from lvtune.config.tables import merge
from lvtune.core.errors import TrainingError, UsageError
from lvtune.core.processes import rank, world_size
from lvtune.evaluation.metrics import goodness
from lvtune.experiments.base_variants import with_bases
from lvtune.experiments.cell_runner import (
    Say,
    failure_of,
    failures,
    finished_row,
    forget_failures,
    planned_row,
    run_cells,
)
from lvtune.experiments.cells import ALL, Cell, Variant, cells_of, variants_of
from lvtune.experiments.comparison_page import write_comparison
from lvtune.experiments.launch_processes import meet
from lvtune.experiments.learning_curve import check_forecast, learning_curve
from lvtune.experiments.result_rows import summary_of
from lvtune.storage.output_folder import check_output, input_folders

RESULT_FILES = ("results.json", "results.md", "results.html")
OUT = Path("lvtune-out") / "compare"
METHODS = "vlpose-light,full"


def compare(
    recipe: Recipe | Mapping[str, Any] | None = None,
    *,
    methods: Sequence[str] | str = METHODS,
    variants: str | Path | None = None,
    bases: Sequence[str] = (),
    shots: Sequence[int | str] = (ALL,),
    seeds: Sequence[int] = (0,),
    lrs: Sequence[float] = (),
    out: str | Path = OUT,
    search: bool = False,
    predict: Sequence[int] = (),
    dry_run: bool = False,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Runs every cell that has not been run, and writes ``results.json``, ``results.md`` and ``results.html``.

    A finished cell is not run again; an interrupted cell starts again. Under ``accelerate launch`` the processes share
    the cells, and each runs its own alone.

    Args:
        recipe: options that all cells share; method, seed, shots and folder are set per cell.
        methods: see :func:`lvtune.experiments.cells.variants_of`.
        variants: YAML file with further variants; see there.
        bases: see :func:`lvtune.experiments.base_variants.with_bases`; each variant is run with each of them.
        shots: numbers of annotated pictures to tune on, or "all".
        seeds: seeds of the runs; they draw the pictures too.
        lrs: learning rates to run each variant at that names none; empty: each method's own.
        out: folder of the comparison.
        search: find the learning rate of each variant and number of pictures first. Each of ``lrs`` is run with the
            first seed and scored on the validation pictures, in ``OUT/search``; the best is run with all seeds.
        predict: numbers of annotated pictures whose scores are forecast from the runs, by a power law.
        dry_run: list the cells; run and write nothing.
        say: receives a line of progress.

    Returns:
        See :func:`_write`. With ``dry_run`` the cells, and which are finished. Empty in a launch's further processes.

    Raises:
        LvtuneError: a recipe is wrong; a cell's folder holds a run with other settings.
    """
    out = Path(out)
    shared = _shared(recipe) if isinstance(recipe, Recipe) else dict(recipe or {})
    compared = with_bases(variants_of(methods, variants), bases)
    check_forecast(predict, shots)
    grid: dict[str, Any] = {"shots": shots, "seeds": seeds, "lrs": lrs, "out": out}
    if not dry_run:
        _begin(out)
    if search:
        tried = _search_cells(shared, compared, grid)
        if dry_run:
            return _plan(out, tried, is_search=True)
        grid["lrs"] = _best_rates(tried, run_cells(tried, say))
        say("found: " + ", ".join(f"{label} ({count} pictures) {lr:g}" for (label, count), lr in grid["lrs"].items()))
    cells = cells_of(shared, compared, **grid)
    if dry_run:
        return _plan(out, cells, is_search=False)
    _check_out(out, cells)
    rows = run_cells(cells, say, wait=rank() == 0)
    return _write(cells, rows, shared, out, predict) if rank() == 0 else {}


def _check_out(out: Path, cells: Sequence[Cell]) -> None:
    """Raises a UsageError where the results would be written over an input."""
    files = [out / name for name in RESULT_FILES]
    for one in {cell.variant.label: cell.recipe for cell in cells}.values():
        check_output(out, files, folders=input_folders(one.data), files=recipe_files(one))


def _shared(recipe: Recipe) -> dict[str, Any]:
    """Returns a whole recipe as options that all cells share: each cell brings its own method with its options."""
    values = recipe.to_dict()
    if recipe.settings == PUBLISHED:  # of a method that the domain chose; other methods have no such options
        values |= {"settings": OWN, "method_options": {}}
    return values


def _begin(out: Path) -> None:
    """Removes the errors of an earlier launch before any process of this launch can read them."""
    if rank() == 0:
        forget_failures(out)
    if world_size() > 1:
        meet()


def _plan(out: Path, cells: Sequence[Cell], is_search: bool) -> dict[str, Any]:
    reader = MarkReader()
    rows = [planned_row(cell, finished_row(cell, reader) is not None) for cell in cells]
    return {"out": str(out), "cells": rows, "search": is_search}


def _search_cells(shared: Mapping[str, Any], compared: Sequence[Variant], grid: Mapping[str, Any]) -> list[Cell]:
    """Builds the cells that find the learning rates: first seed, scored on the validation pictures."""
    if len(grid["lrs"]) < 2:
        raise UsageError(f"a search among {len(grid['lrs'])} learning rates", "at least two",
                         "give --lrs 3e-4,1e-3,3e-3")  # fmt: skip
    own = {"seeds": grid["seeds"][:1], "out": grid["out"] / "search"}
    on_val = merge(shared, {"evaluate": {"split": "val", "also": ()}})
    return [cell for cell in cells_of(on_val, compared, **{**grid, **own}) if cell.lr is not None]


def _best_rates(tried: Sequence[Cell], rows: Mapping[str, dict[str, Any] | None]) -> dict[tuple[str, int | str], float]:
    """Returns the learning rate with the best target score for each (label, shots)."""
    groups: dict[tuple[str, int | str], list[Cell]] = {}
    for cell in tried:
        groups.setdefault((cell.variant.label, cell.shots), []).append(cell)
    rates = {}
    for key, cells in groups.items():
        runs = [row for row in (rows[cell.name] for cell in cells) if row is not None]
        if not runs:
            parts = failure_of(cells[-1])
            given = f"'{key[0]}', which failed at every learning rate: {parts['given']}"
            raise TrainingError(given, parts["expected"], parts["fix"])
        rates[key] = max(runs, key=lambda run: goodness(run["main"], run["target"]))["lr"]
    return rates


def _write(
    cells: Sequence[Cell],
    rows: Mapping[str, dict[str, Any] | None],
    shared: Mapping[str, Any],
    out: Path,
    predict: Sequence[int],
) -> dict[str, Any]:
    """Writes the files of a comparison.

    Returns:
        ``out``, ``base``, ``domain``, ``main`` (key of the main score), ``scoring`` (how PCK and AP are computed),
        ``target_name``, ``source_name``, ``cells`` (one row per run, see
        :func:`lvtune.experiments.result_rows.row_of`), ``summary`` (one line per variant, shots and learning rate, see
        :func:`lvtune.experiments.result_rows.summary_of`), ``curve`` (see
        :func:`lvtune.experiments.learning_curve.learning_curve`), ``failed`` (name of the cell to the three parts of an
        error), ``shared`` and ``versions``.
    """
    done = [row for row in rows.values() if row is not None]
    first, summary = done[0] if done else {}, summary_of(done)
    values = {
        "out": str(out),
        "base": ", ".join(dict.fromkeys(cell.recipe.base for cell in cells)),
        "domain": cells[0].recipe.domain,
        **{name: first.get(name) for name in ("main", "scoring", "target_name", "source_name")},
        "cells": done,
        "summary": summary,
        "curve": learning_curve(done, summary, predict) if done else None,
        "failed": failures(cells, rows),
        "shared": dict(shared),
        "versions": environment(),
    }
    write_comparison(values, out)
    return values
