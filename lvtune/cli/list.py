"""``lvtune list``: the names that other commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from lvtune.cli.outcome import Outcome
from lvtune.cli.parser import Parser, UsageError
from lvtune.core.registry import suggest


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

PROMPTS, PREVIEW = "prompts", 10


def parser(argv: Sequence[str], summary: str) -> Parser:
    """What to list."""
    result = Parser("list", summary)
    names = f"one of {', '.join(LISTS)}; all without it; or {PROMPTS}, with --grammar"
    result.add_argument("what", nargs="?", metavar="WHAT", help=names)
    result.add_argument("--grammar", metavar="NAME", help="grammar whose prompts are listed: a name or a YAML file")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Reads the registries.

    Raises:
        UsageError: there is no such list.
    """
    if args.what == PROMPTS:
        return _prompts(args.grammar)
    if args.grammar is not None:
        raise UsageError("--grammar without its list", f"`lvtune list {PROMPTS}`", f"type `lvtune list {PROMPTS} "
                         f"--grammar {args.grammar}`")  # fmt: skip
    if args.what is not None and args.what not in LISTS:
        fix = suggest(args.what, [*LISTS, PROMPTS], "type `lvtune list`")
        raise UsageError(f"unknown list '{args.what}'", f"one of {', '.join(LISTS)}, {PROMPTS}", fix)
    values = {name: names() for name, names in LISTS.items() if args.what in (None, name)}
    if args.what is not None:
        return Outcome(values, "\n".join(values[args.what]))
    return Outcome(values, "\n\n".join(f"{name}\n  " + "\n  ".join(found) for name, found in values.items()))


def _prompts(name: str | None) -> Outcome:
    """All prompts of a grammar for programs; for people their number and some of them."""
    from lvtune.cli.output import table
    from lvtune.language.grammars import list_grammars, load_grammar

    if name is None:
        raise UsageError(f"'{PROMPTS}' without a grammar", f"one of {', '.join(list_grammars())}, or a YAML file",
                         f"type `lvtune list {PROMPTS} --grammar hands`")  # fmt: skip
    grammar = load_grammar(name)
    prompts = grammar.prompts()
    values = {
        "grammar": grammar.name,
        "title": grammar.title,
        "count": len(prompts),
        "distinct": len({prompt.sentence for prompt in prompts}),
        "categories": list(grammar.categories),
        "templates": dict(zip(grammar.templates, grammar.counts(), strict=True)),
        "prompts": [prompt.sentence for prompt in prompts],
    }
    spaced = [round(i * (len(prompts) - 1) / max(1, min(PREVIEW, len(prompts)) - 1)) for i in range(PREVIEW)]
    shown = [
        [i, prompts[i].category, prompts[i].sentence] for i in dict.fromkeys(j for j in spaced if j < len(prompts))
    ]
    head = f"{grammar.name}: {grammar.title}; {values['count']:,} prompts, {values['distinct']:,} of them different"
    parts = [head, table(["template", "prompts"], list(values["templates"].items()))]
    parts += [table(["no.", "category", "for example"], shown, left=(1, 2)), "--json prints them all"]
    return Outcome(values, "\n\n".join(parts))
