"""``lvtune reproduce``: shows a publication's table with its figures beside ours."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lvtune.cli.outcome import Outcome, say
from lvtune.cli.output import number, table
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.core.errors import LvtuneError


@dataclass(frozen=True)
class ReproduceCommand:
    """Options of ``lvtune reproduce``."""

    rows: tuple[str, ...] | None = None
    """Names of rows, with commas. None: all rows."""
    runs: str = "lvtune-out/reproduce"
    """Folder of the runs. Our figures are read from RUNS/<table>/<row>/report.json."""
    run: bool = False
    """First run the rows that have no finished run there."""
    data: dict[str, str] | None = None
    """Folder of each domain's data, such as humanart=HumanArt/,coco=coco/."""
    weights: dict[str, str] | None = None
    """Your own weights of bases, such as vitpose-s=converted/."""
    seeds: tuple[int, ...] = field(default=(0,), metadata={"at_least": 0, "at_most": 2**32 - 1})
    """Seeds of the runs. With several, mean and standard deviation are printed."""
    set: dict[str, str] | None = None
    """Options that replace those of every row, for a trial, such as train.steps=2,data.limit=8. The table marks such
    runs."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda, cuda:1, mps."""
    figures: str | None = None
    """Folder for figures: target score against source score, and for each row with a run the pictures by category."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the table and the options of :class:`ReproduceCommand`."""
    result = Parser("reproduce", summary)
    result.add_argument("table", metavar="TABLE", help="name of a table (lvtune list tables), or its folder")
    add_options(result, ReproduceCommand, title="what to show and run")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Runs the rows if asked to, and returns the table."""
    command: ReproduceCommand = from_args(args, ReproduceCommand)
    from lvtune.experiments.reproducing import reproduce

    values = reproduce(
        args.table,
        rows=command.rows or (),
        runs=command.runs,
        run=command.run,
        data=command.data,
        weights=command.weights,
        seeds=command.seeds,
        changes={"device": command.device, **(command.set or {})},
        say=say,
    )
    text = text_of(values)
    if command.figures is not None:
        from lvtune.experiments.sheets import write_figures

        values["figures"] = [str(file) for file in write_figures(values, command.figures)]
        text += "\n\n" + "\n".join(f"drawn: {file}" for file in values["figures"])
    failed = [row["problem"] for row in values["rows"] if row["problem"]]
    return Outcome(values, text, LvtuneError(**failed[0]) if failed else None)


def text_of(values: Mapping[str, Any]) -> str:
    """Returns the table for people, with "published / ours" in each cell."""
    columns = values["columns"]
    rows = [
        [row["label"], row["group"], _count(row), *(_cell(row, name) for name in columns), _here(row)]
        for row in values["rows"]
    ]
    rows += [_claim(claim, columns) for claim in values["claims"]]
    head = ["", "group", "trainable", *columns.values(), ""]
    if not any(row["group"] for row in values["rows"]):
        head, rows = [head[0], *head[2:]], [[row[0], *row[2:]] for row in rows]
    number = f", {values['number']}" if values["number"] else ""
    gains = ", in brackets the gain" if any(_has_gain(row) for row in values["rows"]) else ""
    parts = [
        f"{values['table']}{number}: {values['title']} ({values['source']}); each cell: published / ours{gains}",
        table(head, rows, left=(0, len(head) - 1, *([1] if "group" in head else []))),
        values["note"],
        *(f"{row['name']}: {'; '.join(row['problem'].values())}" for row in values["rows"] if row["problem"]),
    ]
    return "\n\n".join(part for part in parts if part)


def _count(row: Mapping[str, Any]) -> str:
    return "-" if row["trainable"] is None else f"{row['trainable']:,}"


def _cell(row: Mapping[str, Any], column: str) -> str:
    ours, deviation = row["ours"][column], row["spread"][column]
    shown = number(ours) + ("" if deviation is None else f"±{deviation:.2f}")
    gains = {kind: row["gain"][kind][column] for kind in ("reference", "ours")}
    return f"{number(row['reference'][column])}{_brackets(gains['reference'])} / {shown}{_brackets(gains['ours'])}"


def _brackets(gain: float | None) -> str:
    return "" if gain is None else f" ({gain:+.2f})"


def _has_gain(row: Mapping[str, Any]) -> bool:
    return any(gain is not None for kind in row["gain"].values() for gain in kind.values())


def _claim(claim: Mapping[str, Any], columns: Mapping[str, str]) -> list[str]:
    """Returns the row of a claim: the difference from the published table, and from ours."""
    signed = lambda value: "-" if value is None else f"{value:+.2f}"  # noqa: E731
    cells = [
        f"{signed(claim['reference'])} / {signed(claim['ours'])}" if name == claim["column"] else "" for name in columns
    ]
    words = f"printed as {claim['printed']:+.2f}; computed as {claim['row']} minus {claim['over']}"
    differs = "" if claim["agrees"] in (True, None) else "; THE TABLE DIFFERS"
    return [claim["title"], "claim", "", *cells, words + differs]


def _here(row: Mapping[str, Any]) -> str:
    """Says what runs of the row there are, and how their settings differ from the row's."""
    if row["problem"]:
        return "failed (see below)"
    if row["quoted"]:
        return "figures of its authors; not run here"
    if not row["runs"]:
        return f"not run here: needs {row['needs']}"
    words = [f"{row['runs']} runs"] if row["runs"] > 1 else []
    words += [f"not the row's settings: {', '.join(row['differs'])}"] if row["differs"] else []
    return "; ".join(words)
