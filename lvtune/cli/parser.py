"""Makes argument parsers from dataclasses, with errors in three parts.

Values stay text here. :func:`lvtune.config.schema.build` gives them their types, so that the same code checks recipes
and command lines, and reports all mistakes together.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from lvtune.cli.help_text import HelpFormatter, full_help, short_help
from lvtune.config.coerce import describe
from lvtune.config.schema import Option, doc_of, make, options_of, show
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.registry import suggest

_METAVARS = {"a whole number": "N", "a number": "X", "text": "TEXT", "true or false": "BOOL"}


class CommandLineError(UsageError):
    """The command line is wrong; exit code 2."""


class Parser(argparse.ArgumentParser):
    """The parser of ``lvtune COMMAND``. Every command takes ``--json``, ``--quiet``, ``--import`` and ``--debug``.

    Args:
        command: name of the command.
        summary: what it does, without a capital and a full stop.
    """

    def __init__(self, command: str, summary: str) -> None:
        super().__init__(
            prog=f"lvtune {command}",
            description=f"{summary[:1].upper()}{summary[1:]}.",
            add_help=False,
            allow_abbrev=False,
            formatter_class=HelpFormatter,
        )
        self._optionals.title = "general options"
        self.leaves: dict[str, list[str]] = {}
        self.typed: list[str] = []
        self.command = command
        self.add_argument("-h", action=_ShortHelp, help="show the options that matter most, and exit")
        self.add_argument("--help", action="help", help="show all options, and exit")
        self.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else")
        self.add_argument(
            "--quiet", action="store_true", help="show no progress: the answer, warnings and errors alone"
        )
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")
        self.add_argument(
            "--import", action="append", dest="imports", metavar="FILE", default=[],
            help="Python file of your own to run first, for example one that registers a method; repeatable",
        )  # fmt: skip

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Returns the options in ``argv``.

        Raises:
            CommandLineError: an unknown option (the error suggests the closest one), a missing value or argument.
        """
        self.usage = self.usage_line()
        self.typed = [_normal(token) for token in argv]
        known, rest = self.parse_known_args(self.typed)
        if rest:
            raise self._unknown(rest[0])
        return known

    def _unknown(self, token: str) -> CommandLineError:
        if not token.startswith("-"):
            return CommandLineError(f"'{token}'", self.usage_line(), f"see `{self.prog} --help`")
        name = token.partition("=")[0]
        homes = self.leaves.get(name.removeprefix("--"), [])
        if len(homes) > 1:
            listing = " or ".join(f"--{home}" for home in homes)
            return CommandLineError(f"'{name}', which could be several options", listing, f"type --{homes[0]}")
        names = [s for a in self._actions if not isinstance(a, _OldName) for s in a.option_strings]
        fix = suggest(name, names, f"see `{self.prog} --help`")
        return CommandLineError(f"unknown option '{name}'", f"an option of `{self.prog}`", fix)

    def format_help(self) -> str:
        """Returns the help in groups: the options that matter most come first, those of every command last."""
        return full_help(self)

    def usage_line(self) -> str:
        """Returns the command with its positional arguments."""
        places = [
            f"[{a.metavar or a.dest}]" if a.nargs == "?" else a.metavar or a.dest
            for a in self._get_positional_actions()
        ]
        return " ".join([self.prog, *(str(place) for place in places), "[options]"])

    def error(self, message: str) -> NoReturn:
        """Raises argparse's own errors in three parts."""
        where, _, what = message.partition(": ")
        if "required" in where:
            raise CommandLineError(f"no {what}", self.usage_line(), f"type `{self.prog} {what}`")
        strings = where.removeprefix("argument ").split("/")
        option = next((string for string in strings if string in self.typed), strings[0])
        if what.startswith("expected"):
            raise CommandLineError(f"'{option}' without a value", "a value after it", f"type `{option} VALUE`")
        raise CommandLineError(message, self.usage_line(), f"see `{self.prog} --help`")


class _ShortHelp(argparse.Action):
    """Prints the short help, and ends."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, **kwargs)

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        parser.usage = parser.usage_line()
        print(short_help(parser))
        parser.exit()


def _normal(token: str) -> str:
    """Returns ``--train.batch_size=4`` as ``--train.batch-size=4``."""
    name, equals, value = token.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else token


def add_options(
    parser: Parser,
    cls: type,
    *,
    prefix: str = "",
    title: str = "options",
    hide: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Adds an option for each field of a dataclass. Nested fields get dotted names and a group of their own.

    Args:
        parser: gets the options.
        cls: a dataclass with docstrings under its fields.
        prefix: text in front of the names, such as "method.".
        title: heading of the fields that are not nested.
        hide: paths to leave out.
        defaults: path to the value that the help shows as the default, in place of the field's own.
    """
    options = [o for o in options_of(cls) if o.path not in hide]
    leaves = Counter(o.path.rpartition(".")[2] for o in options)
    taken = {string for action in parser._actions for string in action.option_strings}
    groups: dict[str, Any] = {}
    for option in options:
        parent, _, leaf = option.path.rpartition(".")
        heading = f"{parent.removesuffix('_options')}: {doc_of(cls, parent).rstrip('.')}" if parent else title
        group = groups.setdefault(heading, parser.add_argument_group(heading))
        name = (prefix + _typed_path(option.path)).replace("_", "-")
        strings = [f"--{name}"]
        parser.leaves.setdefault(leaf.replace("_", "-"), []).append(name)
        short = f"--{leaf.replace('_', '-')}"
        if parent and leaves[leaf] == 1 and not prefix and short not in taken:
            strings.append(short)
        if option.was:
            _add_old_name(group, strings, option, prefix)
        _add(group, strings, option, prefix, (defaults or {}).get(option.path, option.default))


def _typed_path(path: str) -> str:
    """Returns the path as users type it: `--base.input-size` beside `--base`, like `--method.r` beside `--method`."""
    first, dot, rest = path.partition(".")
    return f"{first.removesuffix('_options')}.{rest}" if dot else path


def _add(group: Any, strings: list[str], option: Option, prefix: str, default: Any) -> None:
    shown = "" if default in (None, {}, (), "", dataclasses.MISSING) else f" (default: {show(default)})"
    # in Python and YAML one writes None; on the command line one leaves the option out
    text = (option.help + shown).replace("None: ", "Without it: ").replace("``", "`").replace("%", "%%")
    common = {"dest": prefix + option.path, "default": argparse.SUPPRESS}
    if option.is_flag:
        group.add_argument(*strings, nargs="?", const="true", metavar="BOOL", help=text, **common)
        negative = [f"--no-{string[2:]}" for string in strings]
        group.add_argument(*negative, action="store_const", const="false", help=argparse.SUPPRESS, **common)
        return
    if option.repeats:
        group.add_argument(*strings, action="append", metavar="TEXT", help=text, **common)
        return
    kind = describe(option.hint)
    choices = kind.removeprefix("one of ").split(", ") if kind.startswith("one of") else []
    metavar = "|".join(choices) or _METAVARS.get(kind, "TEXT")
    action = group.add_argument(*strings, metavar=metavar, help=text, **common)
    if choices:
        action.completer = lambda **_: choices  # read by the completion of the shell


def _add_old_name(group: Any, strings: list[str], option: Option, prefix: str) -> None:
    """Adds the name that an option had before it was renamed."""
    leaf = option.path.rpartition(".")[2].replace("_", "-")
    old = [string.removesuffix(leaf) + option.was.replace("_", "-") for string in strings]
    group.add_argument(
        *old, action=_OldName, help=argparse.SUPPRESS, dest=prefix + option.path, default=argparse.SUPPRESS,
        new=strings[-1],
    )  # fmt: skip


class _OldName(argparse.Action):
    """Takes a renamed option under its old name, and says the new one on stderr.

    If both names are typed, in any order, the value under the new name counts.
    """

    def __init__(self, *args: Any, new: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.new = new
        self.stored: Any = None

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        print(f"note: option {option} is now {self.new}", file=sys.stderr)
        present = getattr(namespace, self.dest, self.stored)
        if present is self.stored:
            setattr(namespace, self.dest, values)
            self.stored = values


def nested(args: argparse.Namespace, cls: type, prefix: str = "") -> dict[str, Any]:
    """Returns the options of ``cls`` that were typed, as nested tables."""
    values: dict[str, Any] = {}
    for option in options_of(cls):
        if hasattr(args, prefix + option.path):
            table = values
            *parents, leaf = option.path.split(".")
            for parent in parents:
                table = table.setdefault(parent, {})
            table[leaf] = getattr(args, prefix + option.path)
    return values


def from_args(args: argparse.Namespace, cls: type, prefix: str = "") -> Any:
    """Makes an instance of the dataclass ``cls`` from the options that were typed.

    Args:
        args: the parsed command line.
        cls: a dataclass.
        prefix: as for :func:`add_options`.

    Raises:
        CommandLineError: values of the wrong type or out of range.
    """
    with wrong_usage():
        return make(cls, nested(args, cls, prefix), prefix)


@contextlib.contextmanager
def wrong_usage() -> Iterator[None]:
    """Inside, an error with the values of options is one of the command line, with exit code 2."""
    try:
        yield
    except LvtuneError as error:
        raise CommandLineError(error.given, error.expected, error.fix) from error
