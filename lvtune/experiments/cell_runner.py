"""Runs the cells of a comparison that have not been run, and keeps each one's row in its folder."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lvtune.api.recipe_settings import settings_without_places
from lvtune.api.run_marks import MarkReader, changed_mark
from lvtune.api.score_cache import ScoreCache
from lvtune.core.errors import DataError, LvtuneError, TrainingError, UsageError
from lvtune.core.files import write_text
from lvtune.core.text import brief, shell_word
from lvtune.experiments.cells import Cell
from lvtune.experiments.launch_processes import cells_of_this_process, process_alone
from lvtune.experiments.result_rows import row_of

_log = logging.getLogger(__name__)

CELL_FILE = "cell.json"
"""The cell's row and the settings that it was run with; written last into the cell's folder."""
FAILED_FILE = "failed.json"
"""The three parts of the error that ended a cell."""
Say = Callable[[str], None]
_WAIT = 1.0  # seconds between two looks


def run_cells(
    cells: Sequence[Cell],
    say: Say,
    wait: bool = True,
    *,
    cache: ScoreCache | None = None,
    reader: MarkReader | None = None,
) -> dict[str, dict[str, Any] | None]:
    """Runs this process's cells that are not finished.

    Args:
        cells: all cells of the comparison.
        say: receives a line of progress.
        wait: wait for the other processes.
        cache: samples and scores that were computed before; None: nothing is known.
        reader: see :func:`finished_row`; None: a new one.

    Returns:
        Name of each cell to its row; None for a cell that failed. Empty without ``wait``.

    Raises:
        LvtuneError: see :func:`finished_row`.
    """
    reader = reader or MarkReader()
    rows = {cell.name: finished_row(cell, reader) for cell in cells}
    own = [cell for cell in cells_of_this_process(cells) if rows[cell.name] is None]
    cache = cache or ScoreCache()
    with process_alone() as device:
        for number, cell in enumerate(own, 1):
            say(f"cell {number} of {len(own)}: {cell.name}")
            _run(cell, device, cache, say)
    if not wait:
        return {}
    _wait_for(cells, say)
    return {cell.name: finished_row(cell, reader) for cell in cells}


def finished_row(cell: Cell, reader: MarkReader | None = None) -> dict[str, Any] | None:
    """Returns the row of a cell that has been run; None if it has not been run.

    Args:
        cell: of a comparison.
        reader: tells what base, start and data the cell has now; of the whole comparison, so that each is read once.

    Raises:
        LvtuneError: the cell was run with other settings, on other data, from another base or start; its row cannot
            be read, or what it was run on cannot be opened any more.
    """
    file = cell.folder / CELL_FILE
    if not file.is_file() or not (cell.folder / "report.json").is_file():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        settings, row = dict(values["settings"]), dict(values["row"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{file} ({type(error).__name__}: {error})", "the file of a finished cell",
                        f"remove the folder {cell.folder}") from error  # fmt: skip
    wanted = json.loads(json.dumps(settings_without_places(cell.recipe)))
    changed = sorted(name for name in {*wanted, *settings} if wanted.get(name) != settings.get(name))
    if changed:
        name = changed[0]
        raise UsageError(
            f"{cell.folder}, a run with {name} {brief(settings.get(name))}, now {brief(wanted.get(name))}",
            "cells of the same settings in one folder", f"choose another --out, or remove {shell_word(cell.folder)}",
        )  # fmt: skip
    if not isinstance(values.get("marks"), dict):
        _log.warning("note: %s does not say on which data it was run (an earlier version of lvtune wrote it)", file)
        return row
    differs = changed_mark(values["marks"], (reader or MarkReader()).of(cell.recipe))
    if differs:
        raise UsageError(
            f"{cell.folder}, a run with {differs} than now", "cells of the same data, base and start in one folder",
            f"choose another --out, or remove {shell_word(cell.folder)}",
        )  # fmt: skip
    return row


def failure_of(cell: Cell) -> dict[str, str]:
    """Returns the three parts of the error that ended a cell: ``given``, ``expected`` and ``fix``."""
    file = cell.folder / FAILED_FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {name: str(found[name]) for name in ("given", "expected", "fix")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{file} ({type(error).__name__})", "the file of a cell that failed",
                        f"remove the folder {cell.folder}") from error  # fmt: skip


def failures(cells: Sequence[Cell], rows: Mapping[str, dict[str, Any] | None]) -> dict[str, dict[str, str]]:
    """Returns name to error of the cells that have no row."""
    return {cell.name: failure_of(cell) for cell in cells if rows[cell.name] is None}


def forget_failures(out: Path) -> None:
    """Removes the errors of an earlier launch, so that the cells which failed are run again."""
    for file in out.glob(f"**/{FAILED_FILE}"):
        file.unlink()


def planned_row(cell: Cell, is_finished: bool) -> dict[str, Any]:
    """Returns the part of a row that is known before the run."""
    return {
        "name": cell.name,
        "label": cell.variant.label,
        "method": cell.recipe.method,
        "base": cell.recipe.base,
        "weights": cell.recipe.weights,
        "shots": cell.shots,
        "seed": cell.seed,
        "lr": cell.lr,
        "folder": str(cell.folder),
        "finished": is_finished,
    }


def _run(cell: Cell, device: str | None, cache: ScoreCache, say: Say) -> None:
    """Runs one cell; an error is kept in the cell's folder, so that the other cells run all the same."""
    import torch

    from lvtune.api.adapting import adapt

    recipe = replace(cell.recipe, device=device) if device and cell.recipe.device == "auto" else cell.recipe
    cell.folder.mkdir(parents=True, exist_ok=True)
    try:
        report = adapt(recipe, say=say, known=cache).to_dict()
    except LvtuneError as error:
        problem = error
    except (MemoryError, torch.OutOfMemoryError) as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        problem = TrainingError(words, "enough memory", "lower --train.batch-size or --evaluate.batch-size")
    else:
        row = planned_row(cell, True) | row_of(report)
        found = {"row": row, "settings": settings_without_places(cell.recipe), "marks": report.get("marks")}
        text = json.dumps(found, indent=1)
        write_text(cell.folder / CELL_FILE, text)
        return
    say(f"{cell.name} failed: {problem}")
    parts = {name: getattr(problem, name) for name in ("given", "expected", "fix")}
    write_text(cell.folder / FAILED_FILE, json.dumps(parts))


def _wait_for(cells: Sequence[Cell], say: Say) -> None:
    """Waits until each cell has a row or an error; if another process dies, torchrun ends this one too."""
    has_answer = lambda cell: any((cell.folder / name).is_file() for name in (CELL_FILE, FAILED_FILE))  # noqa: E731
    if all(map(has_answer, cells)):
        return
    say("waiting for the other processes")
    while not all(map(has_answer, cells)):
        time.sleep(_WAIT)
