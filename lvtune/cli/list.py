"""``lvtune list``: the names that other commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from lvtune.cli.outcome import Outcome
from lvtune.cli.parser import Parser, UsageError
from lvtune.registry import suggest


def _bases() -> list[str]:
    from lvtune.bases import list_bases

    return list_bases()


def _methods() -> list[str]:
    from lvtune.adapters import list_methods

    return list_methods()


def _domains() -> list[str]:
    from lvtune.domains import list_domains

    return list_domains()


def _encoders() -> list[str]:
    from lvtune.language import list_text_encoders

    return list_text_encoders()


def _recipes() -> list[str]:
    from lvtune.recipe import list_recipes

    return list_recipes()


def _tables() -> list[str]:
    from lvtune.tables import list_tables

    return list_tables()


def _skeletons() -> list[str]:
    from lvtune.data.skeletons import list_skeletons

    return list_skeletons()


LISTS: dict[str, Callable[[], list[str]]] = {
    "bases": _bases,
    "methods": _methods,
    "domains": _domains,
    "text-encoders": _encoders,
    "recipes": _recipes,
    "tables": _tables,
    "skeletons": _skeletons,
}


def parser(argv: Sequence[str], summary: str) -> Parser:
    """What to list."""
    result = Parser("list", summary)
    result.add_argument("what", nargs="?", metavar="WHAT", help=f"one of {', '.join(LISTS)}; all without it")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Reads the registries.

    Raises:
        UsageError: there is no such list.
    """
    if args.what is not None and args.what not in LISTS:
        fix = suggest(args.what, list(LISTS), "type `lvtune list`")
        raise UsageError(f"unknown list '{args.what}'", f"one of {', '.join(LISTS)}", fix)
    values = {name: names() for name, names in LISTS.items() if args.what in (None, name)}
    if args.what is not None:
        return Outcome(values, "\n".join(values[args.what]))
    return Outcome(values, "\n\n".join(f"{name}\n  " + "\n  ".join(found) for name, found in values.items()))
