"""The argument DATA of commands that work on own pictures: ``lvtune adapt MYPROJECT/``."""

from __future__ import annotations

import argparse
from pathlib import Path

from lvtune.cli.parser import CommandLineError, Parser

_HUB = "hf://"


def add_data_argument(parser: Parser) -> None:
    """Adds the argument; it may be left out."""
    parser.add_argument(
        "own", metavar="DATA", nargs="?",
        help="your own pictures: a project of a labelling tool (DeepLabCut, SLEAP, YOLO-pose, ...), a folder or file "
        "with COCO's labels, or a YAML file of `lvtune init-domain`",
    )  # fmt: skip


def place_data(args: argparse.Namespace) -> None:
    """Puts the argument where ``--data`` or ``--domain`` would put it.

    Raises:
        CommandLineError: nothing is there, or ``--data`` is given too.
    """
    given = args.own
    if given is None:
        return
    for option in ("data.data", "data.annotations"):
        if hasattr(args, option):
            raise CommandLineError(
                f"'{given}' and --{option.rpartition('.')[2]}", "one of them", f"leave '{given}' out"
            )  # fmt: skip
    if not given.startswith(_HUB) and not Path(given).exists():
        raise CommandLineError(f"no file or folder at '{given}'", "a project of yours", "check the path")
    if _is_domain(Path(given)):
        if hasattr(args, "domain"):
            raise CommandLineError(f"'{given}' and --domain", "one of them", "leave --domain out")
        args.domain = given
        return
    setattr(args, "data.data", given)


def _is_domain(path: Path) -> bool:
    """Returns True for a YAML file that is a domain, and no tool's project."""
    from lvtune.domains.domain_file import is_domain_file

    if not path.is_file() or not is_domain_file(path.name):
        return False
    from lvtune.data.formats import detect

    return detect(path) is None
