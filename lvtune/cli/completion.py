"""``lvtune completion``: lets a shell complete commands, options and their values; by argcomplete."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lvtune.cli.outcome import Outcome
from lvtune.cli.parser import CommandLineError, Parser
from lvtune.core.errors import UsageError

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")
_INSTALL = "type `pip install 'lvtune[completion]'`"


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the shell."""
    result = Parser("completion", summary)
    shell: Any = result.add_argument("shell", metavar="SHELL", nargs="?", default="bash", help=", ".join(SHELLS))
    shell.completer = lambda **_: SHELLS
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Returns the script; the comment in its first line says what to do with it.

    Raises:
        LvtuneError: argcomplete is not installed, or another shell.
    """
    if args.shell not in SHELLS:
        raise CommandLineError(f"shell '{args.shell}'", f"one of {', '.join(SHELLS)}", "type `lvtune completion bash`")
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError as error:
        raise UsageError("completion without argcomplete", "the package argcomplete", _INSTALL) from error
    text = f"{_usage(args.shell)}\n{shellcode(['lvtune'], shell=args.shell)}"
    return Outcome({"shell": args.shell, "script": text}, text)


def _usage(shell: str) -> str:
    if shell in ("bash", "zsh"):
        return f'# put this line into ~/.{shell}rc: eval "$(lvtune completion {shell})"'
    if shell == "fish":
        return "# type: lvtune completion fish > ~/.config/fish/completions/lvtune.fish"
    return f"# put the output of `lvtune completion {shell}` into the profile of your shell"


def complete(commands: Mapping[str, str]) -> None:
    """Answers a shell that asks what may come next, and ends the process; returns without argcomplete."""
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(line_parser(os.environ.get("COMP_LINE", ""), commands))


def line_parser(line: str, commands: Mapping[str, str]) -> argparse.ArgumentParser:
    """Returns a parser of a whole line: all commands, and the options of the one that ``line`` names."""
    words = _words(line)[1:]
    named = words[0] if words and words[0] in commands else None
    result = argparse.ArgumentParser(prog="lvtune", add_help=False)

    def make(**about: Any) -> Any:
        command = about["prog"].split()[-1]
        if command != named:
            return argparse.ArgumentParser(prog=about["prog"], add_help=False)
        module = importlib.import_module(f"lvtune.cli.{command.replace('-', '_')}")
        return module.parser(words[1:], commands[command])

    maker: Any = make  # argparse calls it; it need not be a class
    places = result.add_subparsers(parser_class=maker)
    for command, summary in commands.items():
        places.add_parser(command, help=summary)
    return result


def _words(line: str) -> list[str]:
    """Returns the words of a line; one that is still being typed may have an open quotation mark."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()
