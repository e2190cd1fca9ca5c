"""Many runs at equal terms: methods x shots x seeds on one base and domain, one table, one page."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.api.report_data import environment
from lvtune.api.score_cache import ScoreCache
from lvtune.config.tables import merge
from lvtune.core.errors import LvtuneError
from lvtune.core.files import write_text
from lvtune.evaluation.metrics import goodness
from lvtune.experiments.cells import ALL, Cell, Variant, cells_of, settings_of, variants_of
from lvtune.experiments.result_rows import row_of, summary_of

OUT = Path("lvtune-out") / "compare"
METHODS = "vlpose-light,full"
CELL_FILE = "cell.json"
"""Written last into a cell's folder: its row, and the settings that it was run with."""
FAILED_FILE = "failed.json"
Say = Callable[[str], None]
_WAIT = 1.0
_LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE",
             "MASTER_ADDR", "MASTER_PORT")  # fmt: skip


def compare(
    recipe: Recipe | Mapping[str, Any] | None = None,
    *,
    methods: Sequence[str] | str = METHODS,
    variants: str | Path | None = None,
    shots: Sequence[int | str] = (ALL,),
    seeds: Sequence[int] = (0,),
    lrs: Sequence[float] = (),
    out: str | Path = OUT,
    search: bool = False,
    dry_run: bool = False,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Runs every cell that has not been run, and writes ``results.json``, ``results.md`` and ``results.html``.

    A finished cell is not run again; one that was interrupted starts anew. Under ``accelerate launch`` the cells are
    dealt out to the processes, each of which runs its own alone.

    Args:
        recipe: what all cells share; its method, seed, shots and folder are the cells' own.
        methods: see :func:`lvtune.experiments.cells.variants_of`.
        variants: YAML file of further ones, likewise.
        shots: annotated pictures to tune on, or "all".
        seeds: of the runs; they draw the shots too.
        lrs: learning rates to run each variant at, of those that name none; none: each method's own.
        out: folder written into.
        search: find the learning rate of each variant and number of shots first: each of ``lrs`` is run with the first
            seed and scored on the validation pictures, in ``OUT/search``; the best is then run with all seeds.
        dry_run: list the cells, run and write nothing.
        say: told what is being done.

    Returns:
        ``out``, ``base``, ``domain``, ``main`` (the score that is told), ``target_name``, ``source_name``, ``cells``
        (one row a run, :func:`lvtune.experiments.result_rows.row_of`), ``summary`` (one line a variant, shots and
        learning rate, :func:`lvtune.experiments.result_rows.summary_of`), ``failed`` (name of the cell to the three
        parts of an error) and ``versions``. With ``dry_run`` the rows say which cell would run and which is finished.

    Raises:
        LvtuneError: whatever is wrong with a recipe; a cell's folder that was run with other settings.
    """
    out = Path(out)
    shared = recipe.to_dict() if isinstance(recipe, Recipe) else dict(recipe or {})
    asked = variants_of(methods, variants)
    grid = {"shots": shots, "seeds": seeds, "lrs": lrs, "out": out}
    if not dry_run:
        _begin(out)
    if search:
        tried = _search_cells(shared, asked, grid)
        if dry_run:
            return {"out": str(out), "cells": [_planned(cell, finished(cell)) for cell in tried], "search": True}
        grid["lrs"] = _best(tried, _run_all(tried, say))
        say("found: " + ", ".join(f"{label} ({count} pictures) {lr:g}" for (label, count), lr in grid["lrs"].items()))
    cells = cells_of(shared, asked, **grid)
    if dry_run:
        return {"out": str(out), "cells": [_planned(cell, finished(cell)) for cell in cells], "search": False}
    rows = _run_all(cells, say, wait=_rank() == 0)
    return {} if _rank() else _write(cells, rows, shared, out)


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _search_cells(shared: Mapping[str, Any], asked: Sequence[Variant], grid: Mapping[str, Any]) -> list[Cell]:
    if len(grid["lrs"]) < 2:
        raise LvtuneError(f"a search among {len(grid['lrs'])} learning rates", "at least two",
                          "give --lrs 3e-4,1e-3,3e-3")  # fmt: skip
    over = {"seeds": grid["seeds"][:1], "out": grid["out"] / "search"}
    on_val = merge(shared, {"evaluate": {"split": "val", "also": ()}})
    return [cell for cell in cells_of(on_val, asked, **{**grid, **over}) if cell.lr is not None]


def _best(tried: Sequence[Cell], rows: Mapping[str, dict[str, Any] | None]) -> dict[tuple[str, int | str], float]:
    """The learning rate of the best target score for each (label, shots)."""
    found: dict[tuple[str, int | str], list[dict[str, Any]]] = {}
    why: dict[tuple[str, int | str], dict[str, str]] = {}
    for cell in tried:
        row = rows[cell.name]
        found.setdefault((cell.variant.label, cell.shots), []).extend([] if row is None else [row])
        if row is None:
            why[cell.variant.label, cell.shots] = json.loads((cell.folder / FAILED_FILE).read_text(encoding="utf-8"))
    for (label, shots), runs in found.items():
        if not runs:
            parts = why[label, shots]
            given = f"'{label}', which failed at every learning rate: {parts['given']}"
            raise LvtuneError(given, parts["expected"], parts["fix"])
    return {key: max(runs, key=lambda run: goodness(run["main"], run["target"]))["lr"] for key, runs in found.items()}


def _run_all(cells: Sequence[Cell], say: Say, wait: bool = True) -> dict[str, dict[str, Any] | None]:
    """Runs what is left of this process's cells; names to rows (None: failed) once all are there, {} without ``wait``.

    Raises:
        LvtuneError: as :func:`finished`.
    """
    rank, world = _rank(), int(os.environ.get("WORLD_SIZE", "1"))
    rows = {cell.name: finished(cell) for cell in cells}
    # by their place among all, not among those left: the processes need not see the same ones finished; the turn moves
    # on each round, or one process could get every run of the slowest method
    dealt = [cell for i, cell in enumerate(cells) if (i + i // world) % world == rank]
    mine = [cell for cell in dealt if rows[cell.name] is None]
    known = ScoreCache()
    with _alone() as device:
        for number, cell in enumerate(mine, 1):
            say(f"cell {number} of {len(mine)}: {cell.name}")
            _run(cell, device, known, say)
    if not wait:
        return {}
    _wait_for(cells, say)
    return {cell.name: finished(cell) for cell in cells}


def finished(cell: Cell) -> dict[str, Any] | None:
    """The row of a cell that has been run; None where it is still to be run.

    Raises:
        LvtuneError: it was run with other settings, or its row cannot be read.
    """
    file = cell.folder / CELL_FILE
    if not file.is_file() or not (cell.folder / "report.json").is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        settings, row = found["settings"], found["row"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LvtuneError(f"{file} ({type(error).__name__}: {error})", "what a finished cell leaves",
                          f"remove the folder {cell.folder}") from error  # fmt: skip
    wanted = json.loads(json.dumps(settings_of(cell.recipe)))
    changed = sorted(name for name in {*wanted, *settings} if wanted.get(name) != settings.get(name))
    if changed:
        name = changed[0]
        raise LvtuneError(
            f"{cell.folder}, a run with {name} {settings.get(name)}, now {wanted.get(name)}",
            "cells of the same settings in one folder", "choose another --out, or remove that folder",
        )  # fmt: skip
    return row


def _planned(cell: Cell, row: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "name": cell.name,
        "label": cell.variant.label,
        "method": cell.recipe.method,
        "shots": cell.shots,
        "seed": cell.seed,
        "lr": cell.lr,
        "folder": str(cell.folder),
        "finished": row is not None,
    }


def _run(cell: Cell, device: str | None, known: ScoreCache, say: Say) -> None:
    """One cell; what goes wrong with it is left in its folder, so that the others are run all the same."""
    from dataclasses import replace

    import torch

    from lvtune.api.adapting import adapt

    recipe = replace(cell.recipe, device=device) if device and cell.recipe.device == "auto" else cell.recipe
    cell.folder.mkdir(parents=True, exist_ok=True)
    try:
        report = adapt(recipe, say=say, known=known).to_dict()
    except LvtuneError as error:
        problem = error
    except (MemoryError, torch.OutOfMemoryError) as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        problem = LvtuneError(words, "enough memory", "lower --train.batch-size or --evaluate.batch-size")
    else:
        row = _planned(cell, {}) | row_of(report)
        text = json.dumps({"row": row, "settings": settings_of(cell.recipe)}, indent=1)
        write_text(cell.folder / CELL_FILE, text)
        return
    say(f"{cell.name} failed: {problem}")
    parts = {name: getattr(problem, name) for name in ("given", "expected", "fix")}
    write_text(cell.folder / FAILED_FILE, json.dumps(parts))


def _begin(out: Path) -> None:
    """What failed in an earlier launch is to be run again, before any process of this one takes it for an answer."""
    if _rank() == 0:
        for file in out.glob(f"**/{FAILED_FILE}"):
            file.unlink()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _meet()


def _meet() -> None:
    """Until all processes of a launch have come here; once a launch, whose store would give a second group the
    addresses of the first."""
    from torch import distributed

    distributed.init_process_group("gloo")
    try:
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


@contextmanager
def _alone() -> Iterator[str | None]:
    """Each process of a launch by itself: its runs are not to be shared out; gives its device, None for the usual one.

    Accelerate goes by these variables. A process group over the runs is not wanted either: with cells of unlike length
    its barriers would run out of time.
    """
    kept = {name: os.environ.pop(name) for name in _LAUNCHED if name in os.environ}
    try:
        yield _device(int(kept["LOCAL_RANK"])) if "LOCAL_RANK" in kept else None
    finally:
        os.environ.update(kept)


def _device(local_rank: int) -> str | None:
    import torch

    return f"cuda:{local_rank % torch.cuda.device_count()}" if torch.cuda.is_available() else None


def _wait_for(cells: Sequence[Cell], say: Say) -> None:
    """Until the other processes have left an answer for each; a process that dies takes this one along (torchrun)."""
    told = False
    while any(not any((cell.folder / name).is_file() for name in (CELL_FILE, FAILED_FILE)) for cell in cells):
        if not told:
            say("waiting for the other processes")
            told = True
        time.sleep(_WAIT)


def _write(
    cells: Sequence[Cell], found: Mapping[str, dict[str, Any] | None], shared: Mapping[str, Any], out: Path
) -> dict[str, Any]:
    from lvtune.experiments.comparison_page import write_comparison

    rows = [row for row in found.values() if row is not None]
    failed = {
        cell.name: json.loads((cell.folder / FAILED_FILE).read_text(encoding="utf-8"))
        for cell in cells
        if found[cell.name] is None
    }
    first = rows[0] if rows else {}
    values = {
        "out": str(out),
        "base": cells[0].recipe.base,
        "domain": cells[0].recipe.domain,
        **{name: first.get(name) for name in ("main", "scoring", "target_name", "source_name")},
        "cells": rows,
        "summary": summary_of(rows),
        "failed": failed,
        "shared": merge({}, shared),
        "versions": environment(),
    }
    write_comparison(values, out)
    return values
