"""Adds the argument DATA to commands that take a user's own pictures: ``lvtune adapt MYPROJECT/``."""

from __future__ import annotations

import argparse
from pathlib import Path

from lvtune.cli.parser import CommandLineError, Parser
from lvtune.core.text import shell_word

_HUB = "hf://"


def add_data_argument(parser: Parser) -> None:
    """Adds the argument, which may be left out."""
    parser.add_argument(
        "own", metavar="DATA", nargs="?",
        help="your own pictures: a project of a labelling tool (DeepLabCut, SLEAP, YOLO-pose, ...), a folder or file "
        "with labels in COCO's format, or a YAML file that `lvtune init-domain` wrote",
    )  # fmt: skip


def place_data(args: argparse.Namespace) -> None:
    """Stores the argument as if it were given by ``--data`` or ``--domain``.

    Raises:
        CommandLineError: the path does not exist, or ``--data`` or ``--domain`` is given too.
    """
    given = getattr(args, "own", None)  # not every command has it
    if given is None:
        return
    for option in ("data.data", "data.annotations"):
        if hasattr(args, option):
            raise CommandLineError(
                f"'{given}' and --{option.rpartition('.')[2]}", "one of them", f"leave '{given}' out"
            )  # fmt: skip
    if not given.startswith(_HUB) and not Path(given).exists():
        raise CommandLineError(f"no file or folder at '{given}'", "your own pictures and labels", _meant(given))
    if _is_domain(Path(given)):
        if hasattr(args, "domain"):
            raise CommandLineError(f"'{given}' and --domain", "one of them", "leave --domain out")
        args.domain = given
        return
    setattr(args, "data.data", given)


def _meant(word: str) -> str:
    """Returns what to do about a word that is no path: it may be the name of a base, a method or a domain."""
    from lvtune.adapters.method_registry import list_methods
    from lvtune.bases.base_registry import list_bases
    from lvtune.domains import list_domains

    for option, names in (("--base", list_bases()), ("--method", list_methods()), ("--domain", list_domains())):
        if word.partition("/")[0] in names:
            return f"type {option} {shell_word(word)}"
    return "check the path"


def _is_domain(path: Path) -> bool:
    """Returns True if a YAML file describes a domain and is no labelling tool's project."""
    from lvtune.domains.domain_file import is_domain_file

    if not path.is_file() or not is_domain_file(path.name):
        return False
    from lvtune.data.formats import detect

    return detect(path) is None
