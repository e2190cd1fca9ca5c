"""The rules of the house (CONTRIBUTING.md): rooms, circles, sizes, names, format and types."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import measure_house
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lvtune"
LONGEST_FUNCTION, LONGEST_FILE = 60, 350
SCRIPTS = sorted(file for folder in ("benchmarks", "examples", "tools") for file in (ROOT / folder).glob("*.py"))


def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def test_a_room_imports_only_from_rooms_below_it():
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = run("-c", code, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_no_circles_and_no_upward_imports():
    figures = measure_house.measure(ROOT)
    assert figures["circles"] == 0
    assert figures["imports that run up or across"] == 0


def test_the_figures_are_printed_for_a_folder_with_the_package_alone(capsys, tmp_path):
    with pytest.raises(SystemExit, match="0"):
        measure_house.main(["--help"])
    assert "circles" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        measure_house.main([str(tmp_path)])
    assert f"no package lvtune in {tmp_path}" in capsys.readouterr().err
    (tmp_path / "lvtune").mkdir()
    (tmp_path / "lvtune" / "__init__.py").write_text("import os\n")
    measure_house.main([str(tmp_path)])
    assert "      1  files\n" in capsys.readouterr().out


def test_functions_and_files_are_short():
    functions, files = [], []
    for file in sorted(PACKAGE.rglob("*.py")):
        text, name = file.read_text(encoding="utf-8"), file.relative_to(ROOT)
        lines = len(text.splitlines())
        files += [f"{name}: {lines} lines"] if lines > LONGEST_FILE else []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                functions += [f"{name}:{node.lineno} {node.name}: {length}"] if length > LONGEST_FUNCTION else []
    assert (functions, files) == ([], [])


def test_a_files_name_occurs_once():
    names = Counter(file.name for file in PACKAGE.rglob("*.py"))
    assert [name for name, count in names.items() if count > 1] == ["__init__.py"]


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff(command):
    done = run("-m", "ruff", *command, "--no-cache", ".")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_pyright():
    # its own part is in the wheel, and node comes with the extra: nothing is downloaded
    done = run("-m", "pyright", "--pythonpath", sys.executable, "--outputjson", PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    if not done.stdout.startswith("{"):
        pytest.skip(f"pyright does not start here: {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(done.stdout)
    errors = [
        f"{Path(one['file']).relative_to(ROOT)}:{one['range']['start']['line'] + 1} {one['message']}"
        for one in found["generalDiagnostics"]
        if one["severity"] == "error"
    ]
    assert found["summary"]["filesAnalyzed"] > 200
    assert errors == [], f"{len(errors)} errors"


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_scripts_import_names_that_exist(file):
    """A script that no test runs would else keep the old place of something that has moved."""
    missing = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lvtune":
            module = importlib.import_module(node.module)
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                is_module = hasattr(module, "__path__") and importlib.util.find_spec(name) is not None
                missing += [] if is_module or hasattr(module, alias.name) else [name]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "lvtune":
            missing += [] if hasattr(importlib.import_module("lvtune"), node.attr) else [f"lvtune.{node.attr}"]
    assert missing == []
