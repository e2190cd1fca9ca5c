"""The help of a command: the options that matter most first, those that every command has last."""

from __future__ import annotations

import argparse
from typing import Any

FIRST = {
    "adapt": ("--data", "--annotations", "--base", "--method", "--out"),
    "evaluate": ("--adapter", "--data", "--annotations", "--domain", "--out"),
    "predict": ("--adapter", "--base", "--boxes", "--category", "--out"),
    "compare": ("--methods", "--shots", "--seeds", "--data", "--out"),
    "check-data": ("--data", "--annotations", "--domain", "--split", "--out"),
    "select": ("--data", "--base", "--domain", "--select.folds", "--out"),
    "figure": ("--encoder", "--domain", "--data", "--count", "--out"),
    "convert": ("--out", "--to", "--domain", "--name", "--pictures"),
    "export": ("--adapter", "--format", "--base", "--category", "--out"),
    "push": ("--license", "--private", "--message", "--picture", "--dry-run"),
    "reproduce": ("--run", "--rows", "--data", "--seeds", "--figures"),
    "combine": ("--how", "--factors", "--rank", "--base", "--out"),
}
"""Command to the options that its help shows first; commands with few options are left out."""

MOST_USED = "the options that matter most"


class HelpFormatter(argparse.HelpFormatter):
    """Help of 100 columns that shows the value of an option once, not behind each of its names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


def full_help(parser: Any) -> str:
    """Returns all options of a command in groups."""
    first = _first(parser)
    formatter = _begun(parser)
    if first:
        _section(formatter, MOST_USED, first)
    general = parser._optionals
    for group in (*(g for g in parser._action_groups if g not in (parser._positionals, general)), general):
        _section(formatter, group.title, [action for action in group._group_actions if action not in first])
    return formatter.format_help()


def short_help(parser: Any) -> str:
    """Returns the options that matter most; all of them if the command has few."""
    first = _first(parser)
    if not first:
        return full_help(parser).rstrip()
    formatter = _begun(parser)
    _section(formatter, MOST_USED, first)
    count = sum(1 for a in parser._actions if a.option_strings and a.help != argparse.SUPPRESS)
    formatter.add_text(f"`{parser.prog} --help` shows all {count} options.")
    return formatter.format_help().rstrip()


def _first(parser: Any) -> list[argparse.Action]:
    places = {string: action for action in parser._actions for string in action.option_strings}
    return [places[name] for name in FIRST.get(parser.command, ()) if name in places]


def _begun(parser: Any) -> argparse.HelpFormatter:
    formatter = parser._get_formatter()
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    formatter.add_text(parser.description)
    _section(formatter, parser._positionals.title, parser._positionals._group_actions)
    return formatter


def _section(formatter: argparse.HelpFormatter, title: str | None, actions: list[argparse.Action]) -> None:
    formatter.start_section(title)
    formatter.add_arguments(actions)
    formatter.end_section()
