"""What a shell gets where it asks how a line goes on."""

import os
import subprocess
import sys

import pytest

from lvtune.cli import completion
from lvtune.cli.main import COMMANDS, main


def asked(line):
    pytest.importorskip("argcomplete")
    from argcomplete.finders import CompletionFinder

    found = completion.line_parser(line, COMMANDS)
    words = line.split()
    finder = CompletionFinder(found, always_complete_options=True, print_suppressed=False)
    prefix = "" if line.endswith(" ") else words.pop()
    return [word.strip() for word in finder._get_completions(words, prefix, "", None)]


def test_commands_options_and_their_values():
    assert asked("lvtune ") and set(COMMANDS) <= set(asked("lvtune "))
    assert asked("lvtune che") == ["check-data"]
    assert {"--methods", "--method.r"} & set(asked("lvtune compare --meth")) == {"--methods"}
    assert asked("lvtune adapt --settings ") == ["auto", "published", "own"]
    assert "zsh" in asked("lvtune completion ")


def test_an_open_quotation_mark_is_no_error():
    assert completion._words("lvtune adapt 'my pic") == ["lvtune", "adapt", "'my", "pic"]


def test_the_shells_own_way(tmp_path):
    pytest.importorskip("argcomplete")
    line, answer = "lvtune insp", tmp_path / "answer"
    variables = {
        "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
    }  # fmt: skip
    code = "from lvtune.cli.main import main; main([])"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **variables}, check=False, timeout=120)
    assert answer.read_text().strip() == "inspect"


def test_the_script_says_what_to_do_with_it(capsys, monkeypatch):
    pytest.importorskip("argcomplete")
    assert main(["completion", "zsh"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# put this line into ~/.zshrc: eval") and "lvtune" in out.split("\n", 1)[1]
    assert main(["completion", "cmd"]) == 2
    assert "one of bash, zsh" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "argcomplete.shell_integration", None)
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["completion"]) == 1
    assert "pip install 'lvtune[completion]'" in capsys.readouterr().err
    assert completion.complete(COMMANDS) is None
