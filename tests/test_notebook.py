"""The notebook runs from its first cell to its last, in a folder of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "own_animal.ipynb"
_KERNEL = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=1200, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("text", ""))
"""
_PLAIN = """
import json, sys, matplotlib
matplotlib.use("Agg")
names = {"__name__": "__main__"}
for number, cell in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))["cells"]):
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"cell {number + 1}", "exec"), names)
"""


def cells(kind):
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


@pytest.mark.slow
def test_it_runs_top_to_bottom(tmp_path):
    """In a Jupyter kernel; where none is installed, its cells in order in one Python process."""
    has_kernel = all(importlib.util.find_spec(name) for name in ("nbclient", "ipykernel"))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-c", _KERNEL if has_kernel else _PLAIN, str(NOTEBOOK)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said, out = done.stdout, tmp_path / "lvtune-out" / "notebook"
    assert "detached, the answer is the same as before: True" in said
    assert float(re.search(r"^px_mean +([\d.]+)$", said, re.MULTILINE)[1]) < 5
    assert len(re.findall(r"confidence .* px from the truth", said)) == 6
    for name in ("sheets/train.png", "mouse-adapter/report.html", "poses/poses.csv", "poses/poses.json"):
        assert (out / name).is_file(), name


def test_it_is_kept_without_answers_and_its_links_lead_somewhere():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells("code"))
    text = "".join("".join(cell["source"]) for cell in cells("markdown"))
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and [link for link in links if not (NOTEBOOK.parent / link).exists()] == []
