"""Pictures by category, out of the folders that runs left."""

import cv2
import layouts
import numpy as np
import pytest

import lvtune
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.experiments.reproducing import reproduce
from lvtune.experiments.sheets import category_sheet, write_figures
from lvtune.viz import overlay


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps on two kinds of pictures."""
    folder = tmp_path_factory.mktemp("run")
    data = {"data": str(layouts.humanart(folder))}
    recipe = {"base": "timm:resnet10t", "weights": "random", "domain": "humanart", "method": "head", "data": data,
              "train": {"steps": 2, "batch_size": 2, "lr": 0.01}, "evaluate": {"flip_test": False}}  # fmt: skip
    lvtune.adapt(Recipe.from_dict({**recipe, "out": str(folder / "out")}))
    return folder / "out"


def test_one_person_of_each_category_before_and_after(run, tmp_path, monkeypatch):
    seen = []
    sheet = overlay.contact_sheet
    monkeypatch.setattr(
        overlay, "contact_sheet", lambda rows, words, **o: seen.extend(words) or sheet(rows, words, **o)
    )
    file = category_sheet([run], tmp_path / "sheet.png", across=1)
    assert seen == [
        ["garage kits: base alone", "garage kits: head"],
        ["acrobatics: base alone", "acrobatics: head"],
    ]
    image = cv2.imread(str(file))
    left, right = np.array_split(image[12:250, 12:], 2, axis=1)
    assert image.shape[1] == 2 * 240 + 3 * 12 and left.std() > 0 and right.std() > 0
    category_sheet([run, run], tmp_path / "two.png", across=1)
    assert seen[-1] == ["acrobatics: base alone", "acrobatics: head", "acrobatics: head"]


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(LvtuneError, match="without a report and an adapter"):
        category_sheet([tmp_path], tmp_path / "sheet.png")
    with pytest.raises(LvtuneError, match="no run to draw"):
        category_sheet([], tmp_path / "sheet.png")


def test_reproduce_draws_what_there_is(run, tmp_path, capsys):
    runs = tmp_path / "runs/vlpose-main/vlpose-b"
    runs.parent.mkdir(parents=True)
    runs.symlink_to(run, target_is_directory=True)
    values = reproduce("vlpose-main", rows=["vlpose-b"], runs=tmp_path / "runs")
    assert [file.name for file in write_figures(values, tmp_path / "a")] == ["target-source.png", "vlpose-b.png"]
    argv = ["reproduce", "vlpose-main", "--runs", str(tmp_path / "none"), "--figures", str(tmp_path / "b")]
    assert main(argv) == 0
    assert f"drawn: {tmp_path / 'b' / 'target-source.png'}" in capsys.readouterr().out
