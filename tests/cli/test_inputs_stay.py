"""No command writes to a file that it reads, whatever it is told."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from own_files import draw_pictures, mice, write

import lvtune
from lvtune.cli.main import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Weights, two adapters for them, own pictures and a domain file; an adapter behind a link."""
    here = tmp_path_factory.mktemp("inputs")
    base = lvtune.load_base("vitpose-ti", weights="random")
    base.model.save_pretrained(here / "weights")
    for name in ("one", "two"):
        lvtune.save_adapter(lvtune.create_adapter("lora", base, seed=len(name)), here / name, base)
    (here / "pics").mkdir()
    data = mice(4)
    draw_pictures(data, here / "pics")
    write(data, here / "pics")
    shutil.copy(here / "weights/model.safetensors", here / "model.safetensors")
    return here


@pytest.fixture(autouse=True)
def _here(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    os.symlink("one", "link")
    Path("mice.yaml").write_text("name: mice\n")


def state() -> dict[str, str]:
    files = (file for file in Path().rglob("*") if file.is_file() and not file.is_symlink())
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


RUN = "adapt --weights weights --method lora --steps 1 --data pics --annotations pics/annotations.json"


@pytest.mark.parametrize(
    "line",
    [
        f"{RUN} --out pics",
        f"{RUN} --start one --out one",
        f"{RUN} --start link --out one",
        f"{RUN} --start one/adapter_model.safetensors --out ./one/../one",
        "combine one two --weights weights --out one --overwrite",
        "combine one two --weights weights --out link --overwrite",
        "combine one two --weights weights --out ./two/ --overwrite",
        "export --format transformers --weights weights --out weights",
        "export --format transformers --weights weights --adapter two --out weights",
        "convert vitpose model.safetensors --out .",
        "convert vlpose weights/model.safetensors --out weights",
        "init-domain mice.yaml --out mice.yaml --force",
        "compare --weights weights --methods lora --shots 2 --steps 1 --data pics --annotations pics/annotations.json "
        "--seeds 0 --out pics",
        "predict pics --weights weights --out pics",
        "evaluate --weights weights --data pics --annotations pics/annotations.json --out pics",
        "check-data pics --out pics",
    ],
)
def test_an_output_that_is_an_input_is_refused(line, capsys):
    before = state()
    code = main(line.split())
    message = next(text for text in capsys.readouterr().err.splitlines() if text.startswith("error: "))
    assert code in (1, 2) and "internal error" not in message
    now = state()
    assert {name: now.get(name) for name in before} == before


def test_combining_into_a_new_folder_still_works(capsys):
    before = state()
    assert main(["combine", "one", "two", "--weights", "weights", "--out", "new"]) == 0, capsys.readouterr().err
    assert {name: value for name, value in state().items() if name in before} == before
