"""Help in groups, colours and quiet runs."""

from __future__ import annotations

import io
from importlib import import_module

import pytest

from lvtune.cli.colour import RED, in_colour
from lvtune.cli.help_text import FIRST, MOST_USED
from lvtune.cli.main import COMMANDS, main
from lvtune.cli.outcome import Outcome, say


def helped(capsys, *argv):
    with pytest.raises(SystemExit) as ended:
        main(list(argv))
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(FIRST))
def test_five_options_that_exist_come_first(command):
    made = import_module(f"lvtune.cli.{command.replace('-', '_')}").parser([], COMMANDS[command])
    known = {string for action in made._actions for string in action.option_strings}
    assert len(set(FIRST[command])) == 5 and set(FIRST[command]) <= known
    text = made.format_help()
    titles = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles[0] in ("positional arguments:", f"{MOST_USED}:") and titles[-1] == "general options:"
    # every option once
    lines = [line.split()[0].rstrip(",") for line in text.splitlines() if line.startswith("  --")]
    assert len(lines) == len(set(lines))


def test_the_short_help_is_short_and_leads_to_the_long_one(capsys):
    short, long = helped(capsys, "evaluate", "-h"), helped(capsys, "evaluate", "--help")
    assert "--adapter" in short and "--p-cutoff" not in short and "--p-cutoff" in long
    assert "`lvtune evaluate --help` shows all" in short
    assert len(short.splitlines()) < 40 < len(long.splitlines())
    assert "--json" in helped(capsys, "pull", "-h")  # few options: all of them


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_colours_stand_on_a_terminal_alone(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert in_colour("error:", RED, Screen()) == "\x1b[31merror:\x1b[0m"
    assert in_colour("error:", RED, io.StringIO()) == "error:"
    monkeypatch.setenv("NO_COLOR", "1")
    assert in_colour("error:", RED, Screen()) == "error:"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert in_colour("error:", RED, Screen()) == "error:"


def test_errors_are_red_on_a_terminal_alone(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown command")
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    assert main(["nothing"]) == 2
    assert screen.getvalue().startswith("\x1b[31merror:\x1b[0m unknown command")


def test_quiet_leaves_the_answer_alone(capsys, monkeypatch):
    def run(args):
        say("working")
        return Outcome({}, "answer")

    monkeypatch.setattr("lvtune.cli.list.run", run)
    assert main(["list"]) == 0
    assert capsys.readouterr() == ("answer\n", "working\n")
    assert main(["list", "--quiet"]) == 0
    assert capsys.readouterr() == ("answer\n", "")
