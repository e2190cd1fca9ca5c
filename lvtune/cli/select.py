"""``lvtune select``: chooses w and lambda 3 of text-contrast by cross-validation on the source domain."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lvtune.cli import adapt
from lvtune.cli.outcome import Outcome, say
from lvtune.cli.output import table
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.experiments.cross_validation import SelectOptions, select


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the options of ``adapt`` and of :class:`SelectOptions`."""
    # the options of text-contrast are then known without its name
    result = adapt.parser([*argv, "--text-only"], summary, command="select")
    add_options(result, SelectOptions, prefix="select.", title="what is tried")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Runs the folds that are not finished, and says which values score best.

    Raises:
        CommandLineError: unknown options or wrong values.
    """
    args.text_only = "true"
    recipe = adapt.recipe_of(args)
    options: SelectOptions = from_args(args, SelectOptions, "select.")
    values = select(recipe, options, say=say)
    rows = [[row["w"], f"{row['weight']:g}", row["mean"], row["deviation"]] for row in values["tried"]]
    chosen = values["chosen"]
    way = "at random" if values["by"] == "random" else "by category"
    text = [
        f"{values['folds']} folds {way} of {values['train']}; of the target, only its sentences were used",
        table(["w", "lambda 3", values["main"], "+-"], rows),
        f"chosen: --objective.w {chosen['w']:g} --objective.weight {chosen['weight']:g}",
    ]
    return Outcome(values, "\n\n".join(text))
