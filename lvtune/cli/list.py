"""``lvtune list``: lists the names that other commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from lvtune.cli.outcome import Outcome, say
from lvtune.cli.parser import CommandLineError, Parser
from lvtune.core.registry import suggest
from lvtune.core.text import shell_word


def _bases() -> list[str]:
    from lvtune.bases.base_registry import list_bases

    return list_bases()


def _methods() -> list[str]:
    from lvtune.adapters.method_registry import list_methods

    return list_methods()


def _domains() -> list[str]:
    from lvtune.domains import list_domains

    return list_domains()


def _encoders() -> list[str]:
    from lvtune.language import list_text_encoders

    return list_text_encoders()


def _recipes() -> list[str]:
    from lvtune.config.yaml_files import list_recipes

    return list_recipes()


def _tables() -> list[str]:
    from lvtune.experiments.published_tables import list_tables

    return list_tables()


def _objectives() -> list[str]:
    from lvtune.training.objectives import OBJECTIVES

    return OBJECTIVES.names()


def _joint_encoders() -> list[str]:
    from lvtune.language.joint_encoders import list_joint_encoders

    return list_joint_encoders()


def _grammars() -> list[str]:
    from lvtune.language.grammars import list_grammars

    return list_grammars()


def _skeletons() -> list[str]:
    from lvtune.data.skeletons import list_skeletons

    return list_skeletons()


def _starts() -> list[str]:
    from lvtune.hub.starts import list_starts

    return list_starts()


LISTS: dict[str, Callable[[], list[str]]] = {
    "bases": _bases,
    "methods": _methods,
    "domains": _domains,
    "joint-encoders": _joint_encoders,
    "objectives": _objectives,
    "grammars": _grammars,
    "text-encoders": _encoders,
    "recipes": _recipes,
    "tables": _tables,
    "skeletons": _skeletons,
    "starts": _starts,
}

SENTENCES, PREVIEW = "sentences", 10
_OLD_SENTENCES = "prompts"
"""The name of that list before it was renamed."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the name of the list."""
    result = Parser("list", summary)
    names = f"one of {', '.join(LISTS)}, or {SENTENCES} with --grammar; without it: all lists"
    result.add_argument("what", nargs="?", metavar="WHAT", help=names)
    result.add_argument("--grammar", metavar="NAME", help="grammar whose sentences to list: a name or a YAML file")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Lists the names.

    Raises:
        CommandLineError: an unknown list.
    """
    if args.what == _OLD_SENTENCES:
        say(f"note: `lvtune list {_OLD_SENTENCES}` is now `lvtune list {SENTENCES}`")
        args.what = SENTENCES
    if args.what == SENTENCES:
        return _sentences(args.grammar)
    if args.grammar is not None:
        fix = f"type `lvtune list {SENTENCES} --grammar {shell_word(args.grammar)}`"
        raise CommandLineError("--grammar without its list", f"`lvtune list {SENTENCES}`", fix)
    if args.what is not None and args.what not in LISTS:
        fix = suggest(args.what, [*LISTS, SENTENCES], "type `lvtune list`")
        raise CommandLineError(f"unknown list '{args.what}'", f"one of {', '.join(LISTS)}, {SENTENCES}", fix)
    values = {name: names() for name, names in LISTS.items() if args.what in (None, name)}
    if args.what is not None:
        return Outcome(values, "\n".join(values[args.what]))
    return Outcome(values, "\n\n".join(f"{name}\n  " + "\n  ".join(found) for name, found in values.items()))


def _sentences(name: str | None) -> Outcome:
    """Lists all sentences of a grammar for programs; for people, their number and some of them."""
    from lvtune.cli.output import table
    from lvtune.language.grammars import list_grammars, load_grammar

    if name is None:
        known = f"one of {', '.join(list_grammars())}, or a YAML file"
        fix = f"type `lvtune list {SENTENCES} --grammar hands`"
        raise CommandLineError(f"'{SENTENCES}' without a grammar", known, fix)
    grammar = load_grammar(name)
    found = grammar.tagged()
    values = {
        "grammar": grammar.name,
        "title": grammar.title,
        "count": len(found),
        "distinct": len({one.sentence for one in found}),
        "categories": list(grammar.categories),
        "templates": dict(zip(grammar.templates, grammar.counts(), strict=True)),
        "sentences": [one.sentence for one in found],
    }
    spaced = [round(i * (len(found) - 1) / max(1, min(PREVIEW, len(found)) - 1)) for i in range(PREVIEW)]
    shown = [[i, found[i].category, found[i].sentence] for i in dict.fromkeys(j for j in spaced if j < len(found))]
    head = f"{grammar.name}: {grammar.title}; {values['count']:,} sentences, {values['distinct']:,} of them different"
    parts = [head, table(["template", "sentences"], list(values["templates"].items()))]
    parts += [table(["no.", "category", "for example"], shown, left=(1, 2)), "--json prints all of them"]
    return Outcome(values, "\n\n".join(parts))
