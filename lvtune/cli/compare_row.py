"""``lvtune compare --in-a-row``: one adapter learns several domains, one after the other, in several ways."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from lvtune.cli.outcome import Outcome, say
from lvtune.cli.output import table
from lvtune.cli.parser import CommandLineError, wrong_usage
from lvtune.core.errors import LvtuneError

_NOT_BESIDE = ("variants", "bases", "lrs", "search", "predict", "shots")
"""Options of ``lvtune compare`` that a comparison in a row does not have."""
_RECIPE = ("domain", "after", "objective", "grow", "text_only", "unlabelled")
"""Options of a recipe that each step has for itself."""


def run_in_a_row(args: argparse.Namespace, shared: Mapping[str, Any], command: Any) -> Outcome:
    """Runs the steps that are not finished, and returns the tables.

    Args:
        args: the parsed command line.
        shared: nested options of a recipe that all runs share.
        command: a :class:`lvtune.cli.compare.CompareCommand`.
    """
    from lvtune.experiments.in_a_row import METHOD, compare_in_a_row

    _check(args, shared, command)
    more = {"ways": command.ways, "method": command.methods or METHOD, "seeds": command.seeds, "out": command.out}
    with wrong_usage():  # wrong options are told before anything runs
        plan = compare_in_a_row(command.in_a_row, shared, dry_run=True, **more)
    if args.dry_run:
        return Outcome(plan, _plan(plan))
    values = compare_in_a_row(command.in_a_row, shared, say=say, **more)
    failed = next(iter(values["failed"].values()), None)
    return Outcome(values, text_of_row(values), LvtuneError(**failed) if failed else None)


def text_of_row(values: Mapping[str, Any]) -> str:
    """Returns the tables for people.

    Args:
        values: what :func:`lvtune.experiments.in_a_row.compare_in_a_row` returns.
    """
    from lvtune.experiments.in_a_row import RESULT_FILES
    from lvtune.experiments.row_table import figures_table, matrix_table, notes_of

    parts = [f"{way['column']}\n{table(*matrix_table(values, way))}" for way in values["ways"] if way["matrix"]]
    written = f"written to {values['out']}: {', '.join(RESULT_FILES)}"
    return "\n\n".join([*parts, table(*figures_table(values)), *notes_of(values), written])


def _check(args: argparse.Namespace, shared: Mapping[str, Any], command: Any) -> None:
    """Raises a CommandLineError where an option does not go with a comparison in a row."""
    wrong = next((name for name in _NOT_BESIDE if hasattr(args, name)), None)
    wrong = wrong or next((name for name in _RECIPE if shared.get(name)), None)
    if wrong is not None:
        option = f"--{wrong.replace('_', '-')}"
        raise CommandLineError(f"--in-a-row with {option}", "domains, ways and seeds, with one method",
                               f"leave {option} out")  # fmt: skip


def _plan(values: Mapping[str, Any]) -> str:
    rows = [[one["name"], one["way"], one["domain"], one["seed"], "finished" if one["finished"] else "to run"]
            for one in values["cells"]]  # fmt: skip
    left = sum(not one["finished"] for one in values["cells"])
    head = ["run", "way", "domain", "seed", ""]
    return f"{table(head, rows, left=(0, 1, 2, 4))}\n\n{left} of {len(rows)} to run, written to {values['out']}"
