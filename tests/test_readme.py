"""README and examples say what is there: commands parse, names exist, scripts run."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lvtune
from lvtune.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", README, flags=re.DOTALL)
LINES = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("lvtune")]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_the_two_commands_stand_where_ci_reads_them():
    marked = README.split("<!-- ci -->\n```sh\n")[1].split("```")[0]
    assert marked.splitlines() == ["pip install . && lvtune adapt", 'pip install ".[test]" && pytest']


@pytest.mark.parametrize("line", LINES)
def test_every_command_line_parses(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MYPROJECT").mkdir()
    command, *argv = shlex.split(line, comments=True)[1:]
    module = import_module(f"lvtune.cli.{command.replace('-', '_')}")
    args = module.parser(argv, COMMANDS[command]).parse(argv)
    if command == "adapt":
        named = "vlpose" if "humanart" in argv else "vlpose-light"  # each domain names its method
        assert module.recipe_of(args).method == ("lora" if "lora" in argv else named)


def test_every_public_name_in_readme_and_examples_exists():
    text = "\n".join([README, *(file.read_text() for file in EXAMPLES)])
    names = set(re.findall(r"\blvtune\.([A-Za-z_]+)\b", text))
    assert "create_adapter" in names
    assert sorted(name for name in names if not hasattr(lvtune, name)) == []


def test_python_in_the_readme_is_python():
    (code,) = [text for kind, text in BLOCKS if kind == "python"]
    compile(code, "README.md", "exec")
    assert len([line for line in code.splitlines() if line]) <= 10


def test_examples_of_under_60_lines():
    assert len(EXAMPLES) >= 3
    assert all(len(file.read_text().splitlines()) < 60 for file in EXAMPLES)


def test_the_plain_transformers_example_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plain_transformers.py"])
    runpy.run_path(str(ROOT / "examples/plain_transformers.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "the answer is the original one: True" in out
    assert "the model is as it was: True" in out
