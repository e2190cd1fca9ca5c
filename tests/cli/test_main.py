"""What every command has in common: how it ends, and what may reach the terminal."""

from __future__ import annotations

import json
import logging
import os
import signal

import pytest

from lvtune.cli.main import main
from lvtune.cli.outcome import Outcome, say
from lvtune.cli.output import table
from lvtune.core.errors import LvtuneError

EVIL = "a\x1b]0;owned\x07\u202eb\nc"


@pytest.fixture
def listing(monkeypatch):
    """Lets ``lvtune list`` do something else."""
    return lambda run: monkeypatch.setattr("lvtune.cli.list.run", run)


def test_sigterm_ends_with_one_line_and_143(listing, capsys):
    cleaned = []

    def run(args):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append(True)

    listing(run)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["list"]) == 143
    assert capsys.readouterr() == ("", "terminated\n")
    assert cleaned and signal.getsignal(signal.SIGTERM) == before


def test_a_child_process_that_is_ended_prints_nothing(listing, capfd):
    def run(args):
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 143
        return Outcome({}, "done")

    listing(run)
    assert main(["list"]) == 0
    assert capfd.readouterr() == ("done\n", "")


def test_control_characters_of_files_never_reach_the_terminal(listing, capsys):
    def run(args):
        say(f"reading {EVIL}")
        logging.getLogger("lvtune.somewhere").warning("of %s", EVIL)
        text = f"{table([EVIL], [[EVIL]])}\n{EVIL}"
        return Outcome({"name": EVIL}, text, LvtuneError(EVIL, EVIL, EVIL))

    listing(run)
    shown = "a\\x1b]0;owned\\x07\\u202eb c"
    assert main(["list"]) == 1
    out, err = capsys.readouterr()
    assert out == f"{shown}\n{shown}\n{shown.replace(' ', chr(10))}\n"
    assert err.splitlines()[-2:] == [f"of {shown}", f"error: {shown}; expected {shown}; {shown}"]
    assert not set(out + err) & set("\x1b\x07\u202e")
    assert main(["list", "--json"]) == 1
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": EVIL} and not set(out) & set("\x1b\x07\u202e")


def test_what_is_logged_is_said_once_and_by_one_handler(listing, capsys):
    log = logging.getLogger("lvtune")
    before = list(log.handlers)

    def run(args):
        log.warning("note: once")
        return Outcome({}, "")

    listing(run)
    assert main(["list"]) == 0 and main(["list"]) == 0
    assert capsys.readouterr().err == "note: once\nnote: once\n"
    assert log.handlers == before
