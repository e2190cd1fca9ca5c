"""Adding a method is one file and one import line, and gets the whole registry test suite.

A method in a file of its own, outside the package, is imported (by pytest's ``-p``) before the tests are collected;
then every test that goes by the registry runs on it, none written for it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import outside_method

from lvtune.adapters.method_registry import METHODS

HERE = Path(__file__).parent
SUITE = ("adapters/test_methods.py", "training/test_guard.py")
METHODS._entries.pop("outside-drift", None)  # the import above made it known in this process too


def run_suite(tmp_path):
    """The registry's tests of the outside method, in a process of their own."""
    (tmp_path / "another_package.py").write_text(Path(outside_method.__file__).read_text())
    paths = os.pathsep.join([str(tmp_path), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    options = ["-o", "addopts=", "-v", "-k", "outside-drift", "-p", "no:cacheprovider", "-p", "another_package"]
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.run(
        [*command, *(str(HERE.parent / file) for file in SUITE)], capture_output=True, text=True, check=False,
        cwd=HERE.parents[1], env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip


def test_one_file_and_one_import_line_get_the_whole_suite(tmp_path):
    done = run_suite(tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = set(re.findall(r"::(test_\w+)\[.*outside-drift.*\] PASSED", done.stdout))
    suite = (HERE / "test_methods.py").read_text()
    wanted = set(re.findall(r"@EVERY\n(?:@.*\n)*def (test_\w+)", suite))
    assert len(wanted) > 8 and wanted <= passed
    assert "test_no_share_of_any_method_is_the_base_itself" in passed  # of another file that goes by the registry


def test_the_package_itself_names_no_method_twice_and_none_from_outside():
    """What a new method of our own touches: its file, and the import in ``adapters/__init__.py``."""
    package = HERE.parents[1] / "lvtune"
    registered = {
        name: file
        for file in package.rglob("*.py")
        for name in re.findall(r'@register_method\("([\w-]+)"\)', file.read_text())
    }
    assert "outside-drift" not in METHODS.names() and registered
    names = "|".join(map(re.escape, METHODS.names()))
    quoted = rf"""["']({names})["']"""
    named = re.compile(rf"method\s*==\s*{quoted}|{quoted}\s*==\s*method\b|method in \({quoted}")
    assert [str(file) for file in package.rglob("*.py") if named.search(file.read_text())] == []
    for name, file in registered.items():
        assert file.parent.name == "adapters" and METHODS.get(name).__module__ == f"lvtune.adapters.{file.stem}"
