"""``--import FILE``, and packages with entry points, as the command line sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_package import install_package

from lvtune.cli.main import main

ROOT = Path(__file__).parents[2]
METHOD = (ROOT / "tests/adapters/outside_method.py").read_text()
DOMAIN = """
from lvtune.domains import Domain

def woodcuts():
    return Domain("woodcuts", "woodcuts", "lsp-14", ("old",), {"old": "a woodcut of a human"}, None, "mine")
"""
MORE = """
from dataclasses import dataclass
import lvtune

def base(weights, *, revision=None, seed=0, **options):
    return lvtune.load_base("vitpose-ti", "random", seed=seed)

def encoder(source):
    raise AssertionError("listed, not loaded")

@dataclass(frozen=True)
class Config:
    scale: float = 1.0

class Objective:
    Config = Config
"""
RUN = """
import contextlib, io, json, sys
from lvtune.cli.main import main

def run(line):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(line.split())
    return [code, out.getvalue(), err.getvalue()]

print(json.dumps([run(line) for line in json.load(sys.stdin)]))
"""


@pytest.fixture
def run_all(tmp_path):
    """Runs command lines in a process of their own, where a package is installed; gives code, stdout, stderr each."""

    def run(folder, *lines):
        path = os.pathsep.join([str(folder), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-c", RUN], input=json.dumps(lines), capture_output=True, text=True, check=True,
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        return json.loads(done.stdout)

    return run


def test_an_installed_package_is_found_by_the_command_line(tmp_path, run_all):
    files = {
        "their_method.py": METHOD.replace('@register_method("outside-drift")\n', ""),
        "their_domain.py": DOMAIN,
        "their_more.py": MORE,
        "their_broken.py": "raise RuntimeError('odd')",
    }
    groups = {
        "lvtune.methods": "their-drift = their_method:Drift\nbroken = their_broken:Broken",
        "lvtune.domains": "woodcuts = their_domain:woodcuts",
        "lvtune.bases": "their-base = their_more:base",
        "lvtune.text_encoders": "their-words = their_more:encoder",
        "lvtune.objectives": "their-loss = their_more:Objective",
    }
    folder = install_package(tmp_path / "site", "their-package", files, groups)
    plan = "adapt --weights random --dry-run --json --method"
    listed, everything, planned, helped, broken, fine = run_all(
        folder, "list methods", "list --json", f"{plan} their-drift --method.scale 2 --base their-base",
        f"{plan} their-drift --method.scael 2", f"{plan} broken", f"{plan} bitfit",
    )  # fmt: skip
    assert listed[0] == 0 and "their-drift" in listed[1].split() and "broken" not in listed[1].split()
    assert listed[2].startswith("left out: method 'broken' of the package their-package fails to load")
    assert listed[2].count("\n") == 1
    names = json.loads(everything[1])
    assert "woodcuts" in names["domains"] and "their-base" in names["bases"]
    assert "their-words" in names["text-encoders"] and "their-loss" in names["objectives"]
    values = json.loads(planned[1])
    assert (planned[0], values["recipe"]["method_options"]) == (0, {"scale": 2.0})
    assert {row["name"] for row in values["tree"]} == {"draw", "gain"}
    assert helped[0] == 2 and "did you mean '--method.scale'?" in helped[2]
    assert broken[0] == 1 and "Traceback" not in broken[2]
    assert "(RuntimeError: odd)" in broken[2] and "pip uninstall their-package" in broken[2]
    assert fine[0] == 0


def test_files_of_ones_own_add_a_method(tmp_path, run_all):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "method.py").write_text(METHOD)
    (mine / "numpy.py").write_text("import helper_beside_it\nprint('not on stdout')")  # hides no library
    (mine / "helper_beside_it.py").write_text("")
    files = "--import mine/numpy.py --import=mine/method.py"
    planned, again, misspelt = run_all(
        tmp_path / "nowhere",
        f"adapt {files} --weights random --dry-run --json --method outside-drift --method.scale 3",
        f"list methods {files}",
        f"adapt {files} --method outside-drift --method.scael 3",
    )
    assert (planned[0], planned[2]) == (0, "not on stdout\n")
    assert json.loads(planned[1])["recipe"]["method_options"] == {"scale": 3.0}
    assert again[0] == 0 and "outside-drift" in again[1].split()
    assert misspelt[0] == 2 and "did you mean '--method.scale'?" in misspelt[2]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "--import mine.py, which does not exist"),
        ("\nraise RuntimeError('odd\\nthing')", "--import mine.py, which fails with RuntimeError: odd thing (line 2)"),
        ("def f(:", "--import mine.py, which fails with SyntaxError"),
        ("raise SystemExit", "--import mine.py, which fails with SystemExit"),
        ("import lvtune\nlvtune.register_method('lora')(type('M', (), {}))", "a second method named 'lora'"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line(source, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if source is not None:
        Path("mine.py").write_text(source)
    assert main(["list", "methods", "--import", "mine.py"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    assert said in err


def test_no_python_file_and_no_value(tmp_path, capsys):
    assert main(["list", "--import", str(tmp_path)]) == 1
    assert "which is no Python file" in capsys.readouterr().err
    assert main(["list", "--import"]) == 2
    assert "'--import' without a value" in capsys.readouterr().err


def test_the_help_of_every_command_tells_of_it(capsys):
    with pytest.raises(SystemExit):
        main(["pull", "--help"])
    assert "--import FILE" in capsys.readouterr().out
    main(["--help"])
    assert "--import FILE" in capsys.readouterr().out
