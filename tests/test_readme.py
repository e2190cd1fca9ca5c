"""README and examples say what is there: commands parse, names exist, scripts run."""

from __future__ import annotations

import json
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


def test_the_labelling_loop_runs(monkeypatch, capsys, tmp_path):
    import numpy as np
    from PIL import Image

    from lvtune.api import next_pictures

    rng, images, annotations = np.random.default_rng(0), [], []
    for number in range(15):
        image = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 40, "height": 40})
        points = [v for x, y in rng.integers(5, 35, (2, 2)).tolist() for v in (x, y, 2)]
        annotations.append({"id": number + 1, "image_id": number, "category_id": 1, "keypoints": points,
                            "bbox": [0, 0, 40, 40], "area": 1600, "iscrowd": 0})  # fmt: skip
    category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}
    values = {"images": images, "annotations": annotations, "categories": [category]}
    (tmp_path / "labels.json").write_text(json.dumps(values))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(next_pictures, "DEFAULT_FORMS", ("coco",))
    monkeypatch.setattr(sys, "argv", ["label_loop.py", str(tmp_path / "labels.json"), "4", "3", "1"])
    runpy.run_path(str(ROOT / "examples/label_loop.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "first labels: " in out and "3 more labels: " in out
    assert (tmp_path / "lvtune-out/label-loop/next/next.jpg").is_file()
