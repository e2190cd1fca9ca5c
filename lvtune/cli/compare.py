"""``lvtune compare``: runs methods, numbers of pictures and seeds on one base and domain; makes one table."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.cli.data_argument import add_data_argument, place_data
from lvtune.cli.outcome import Outcome, say
from lvtune.cli.output import number, table
from lvtune.cli.parser import CommandLineError, Parser, add_options, from_args, nested, wrong_usage
from lvtune.config.tables import merge
from lvtune.config.yaml_files import read_yaml
from lvtune.core.errors import LvtuneError
from lvtune.evaluation.metrics import ahead_words, metric_name

_OWN = ("method", "method_options", "objective_options", "seed", "out", "data.shots")
"""Options of a recipe that each cell has for itself, or that a file of variants gives."""


@dataclass(frozen=True)
class CompareCommand:
    """Options of ``lvtune compare``."""

    methods: str | None = None
    """Methods with commas, each with options after a colon, such as lora:r=4,lr=1e-3. None: vlpose-light,full; with
    `variants`, only the variants."""
    variants: str | None = None
    """YAML file of more variants, each a line `label: {options of a recipe}`."""
    bases: tuple[str, ...] = ()
    """Bases to run each method with, with commas: names, or LABEL=WEIGHTS for other weights of --base, such as
    shipped=pretrained,imagenet=vit.safetensors. Without it: --base alone."""
    shots: tuple[str, ...] = ("all",)
    """Numbers of annotated pictures to tune on, such as 20,60,200,all."""
    seeds: tuple[int, ...] = field(default=(0, 1, 2), metadata={"at_least": 0, "at_most": 2**32 - 1})
    """Seeds of the runs. They also draw the pictures of `shots`."""
    lrs: tuple[float, ...] = field(default=(), metadata={"above": 0, "at_most": 1000})
    """Learning rates to run each method with. Without it: each method's own."""
    search: bool = False
    """First find the best of `lrs` for each method and number of pictures: with the first seed, scored on the
    validation pictures."""
    predict: tuple[int, ...] = field(default=(), metadata={"at_least": 1})
    """Numbers of annotated pictures whose scores are forecast from the runs, with an interval: a power law is fitted to
    the scores at the numbers of `shots`."""
    in_a_row: tuple[str, ...] = ()
    """Domains that one adapter learns one after the other, with commas, such as demo-art/sketch,demo-art/cartoon: the
    matrix step x domain of each of `ways`, with backward transfer and forgetting."""
    ways: str = "plain,ewc,lfl,lwf,replay,separate"
    """With `in_a_row`: ways to keep the earlier domains, with commas, each with options after a colon, such as
    ewc:weight=1. separate: one adapter for each domain."""
    out: str = "lvtune-out/compare"
    """Folder of the comparison. Cells that are finished there do not run again."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the options of :class:`CompareCommand` and of the recipe that all cells share."""
    result = Parser("compare", summary)
    add_data_argument(result)
    result.add_argument("--config", metavar="YAML", help="recipe that all cells share: a file, or a shipped one's name")
    result.add_argument("--dry-run", action="store_true", help="list the cells, and stop")
    add_options(result, CompareCommand, title="what to compare")
    add_options(result, Recipe, title="what all cells share", hide=_OWN)
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Runs the cells that are not finished, and returns the table."""
    place_data(args)
    command: CompareCommand = from_args(args, CompareCommand)
    from lvtune.experiments.base_variants import with_bases
    from lvtune.experiments.cells import cells_of, variants_of
    from lvtune.experiments.comparing import METHODS, compare
    from lvtune.experiments.learning_curve import check_forecast

    typed = nested(args, Recipe)
    typed.pop("out", None)
    shared = merge(read_yaml(args.config), typed, Recipe) if args.config else typed
    if command.in_a_row:
        from lvtune.cli.compare_row import run_in_a_row

        return run_in_a_row(args, shared, command)
    methods = command.methods or ("" if command.variants else METHODS)
    shots = [_shots(word) for word in command.shots]
    with wrong_usage():
        variants = with_bases(variants_of(methods, command.variants), command.bases)
        check_forecast(command.predict, shots)
        cells_of(shared, variants, shots=shots, seeds=command.seeds, lrs=command.lrs, out=Path(command.out))
    values = compare(
        shared, methods=methods, variants=command.variants, bases=command.bases, shots=shots, seeds=command.seeds,
        lrs=command.lrs, out=command.out, search=command.search, predict=command.predict, dry_run=args.dry_run, say=say,
    )  # fmt: skip
    if args.dry_run:
        return Outcome(values, plan_of(values))
    if not values:
        # a further process of a launch; the first one prints
        return Outcome({}, "")
    failed = next(iter(values["failed"].values()), None)
    return Outcome(values, text_of(values), LvtuneError(**failed) if failed else None)


def _shots(word: str) -> int | str:
    if word == "all" or word.isdigit():
        return word if word == "all" else int(word)
    raise CommandLineError(f"--shots {word}", "numbers of pictures, or all", "such as --shots 20,60,all")


def plan_of(values: Mapping[str, Any]) -> str:
    """Returns the cells, and which of them are finished."""
    rows = [
        [one["name"], one["method"], str(one["shots"]), one["seed"], "-" if one["lr"] is None else f"{one['lr']:g}",
         "finished" if one["finished"] else "to run"]
        for one in values["cells"]
    ]  # fmt: skip
    left = sum(not one["finished"] for one in values["cells"])
    head = ["cell", "method", "shots", "seed", "lr", ""]
    words = ("\nfirst the search; then each row at its best learning rate, with every seed") if values["search"] else ""
    return (
        f"{table(head, rows, left=(0, 1, 5))}\n\n{left} of {len(rows)} cells to run, written to {values['out']}{words}"
    )


def text_of(values: Mapping[str, Any]) -> str:
    """Returns the summary for people."""
    also = list(dict.fromkeys(name for line in values["summary"] for name in line["also"]))
    rows = [
        [line["label"], str(line["shots"]), "own" if line["lr"] is None else f"{line['lr']:g}", len(line["seeds"]),
         line["parameters"], *(_spread(line[name]) for name in ("target", "ahead")),
         *(_spread(line["also"].get(name)) for name in also), _spread(line["source"]),
         _percent(line["retention_on"]), _percent(line["retention_off"])]
        for line in values["summary"]
    ]  # fmt: skip
    score = metric_name(values["main"] or "pck@0.2", values)
    head = ["variant", "shots", "lr", "seeds", "trained", f"target {score}", "ahead",
            *also, "source, on", "kept on %", "kept off %"]  # fmt: skip
    # a column without any figure says nothing: the base may predict other key points than the data have
    kept = [i for i in range(len(head)) if any(row[i] != "-" for row in rows)]
    head, rows = [head[i] for i in kept], [[row[i] for i in kept] for row in rows]
    from lvtune.evaluation.metrics import unit_of
    from lvtune.experiments.learning_curve import words_of

    parts = [
        table(head, rows) if rows else "no cell was finished",
        f"each score: mean ± half of the 95 % interval over the seeds. {ahead_words(values['main'] or 'pck@0.2')}",
        *(["\n".join(words_of(values["curve"], unit_of(values["main"])))] if values.get("curve") else []),
        *(f"{name} failed: {'; '.join(why.values())}" for name, why in values["failed"].items()),
        f"written to {values['out']}: results.json, results.md, results.html",
    ]
    return "\n\n".join(parts)


def _spread(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    return number(figure["mean"]) + ("" if figure["half"] is None else f" ± {figure['half']:.2f}")


def _percent(figure: Mapping[str, Any] | None) -> str:
    return "-" if figure is None else f"{100 * figure['mean']:.1f}"
