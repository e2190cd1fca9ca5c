"""``lvtune figure``: draws how a joint encoder sees source, target and sentences."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lvtune.api.language_figures import FILES, FigureOptions, language_figures
from lvtune.api.recipe import Recipe
from lvtune.cli import adapt
from lvtune.cli.outcome import Outcome, say
from lvtune.cli.parser import CommandLineError, Parser, add_options, from_args
from lvtune.config.schema import options_of
from lvtune.core.registry import suggest

_HIDE = ("method_options", "objective_options", "method", "objective", "text_only", "weights")


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the kind of figure, the options of :class:`FigureOptions`, and the options of the pictures."""
    result = Parser("figure", summary)
    kinds = "map: the features in a plane. retrieval: pictures ranked by a sentence"
    result.add_argument("kind", metavar="KIND", help=kinds)
    result.add_argument("--config", metavar="YAML", help="recipe file, or the name of a shipped recipe")
    add_options(result, FigureOptions, title="what to draw")
    hidden = [o for o in options_of(Recipe) if o.path.startswith(("train.", "evaluate.", "language."))]
    add_options(result, Recipe, title="of what", hide=(*_HIDE, *(option.path for option in hidden)))
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Draws the figure.

    Raises:
        CommandLineError: an unknown figure, or wrong options.
    """
    if args.kind not in FILES:
        fix = suggest(args.kind, list(FILES), "type `lvtune figure map`")
        raise CommandLineError(f"unknown figure '{args.kind}'", f"one of {', '.join(FILES)}", fix)
    options: FigureOptions = from_args(args, FigureOptions)
    values = language_figures(adapt.recipe_of(args), options, (args.kind,), say)
    text = [
        f"{values['sentences']:,} sentences, {values['encoder']}; {values['source_name']} -> {values['target_name']}"
    ]
    if "cover" in values:
        near = values["cover"]
        text.append(f"nearest cosine of a target picture: {near['by_source']:.3f} to a source picture, "
                    f"{near['by_steered']:.3f} to a steered one")  # fmt: skip
    text += [f"drawn: {file}" for file in values["files"].values()]
    return Outcome(values, "\n".join(text))
