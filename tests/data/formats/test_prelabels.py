"""Pre-labels are written as each tool reads them: what comes back is what went in."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvtune.core.errors import DataError, LvtuneError
from lvtune.data.formats import read_project
from lvtune.data.formats.label_project import Instance, LabelProject, Picture
from lvtune.data.formats.prelabels import FORMS, write_prelabels

NAMES = ("nose", "tail base", "left ear")


@pytest.fixture
def project(tmp_path):
    pictures = []
    for number, folder in enumerate(("a", "b", "b")):
        path = tmp_path / folder / f"{number % 2}.png"  # a/0.png, b/1.png, b/0.png: one name occurs twice
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (60 + number, 40), (number * 40, 0, 0)).save(path)
        pictures.append(Picture(path, f"{folder}/{path.name}", 60 + number, 40))
    points = np.array([[5.0, 6.0], [20.5, 21.0], [33.0, 8.0]])
    instances = (
        Instance(0, points, np.array([2, 2, 1]), box=(0.0, 0.0, 60.0, 40.0)),
        Instance(1, points + 1, np.array([2, 2, 2]), box=(0.0, 0.0, 25.0, 39.0)),
        Instance(1, points + 2, np.array([2, 1, 2]), box=(20.0, 0.0, 40.0, 39.0)),
        Instance(2, points + 3, np.array([2, 2, 2]), box=(0.0, 0.0, 62.0, 40.0)),
    )
    return LabelProject("lvtune", tmp_path, NAMES, tuple(pictures), instances, links=((0, 1),))


def found_in(project):
    """(size of the picture, points) of each instance, in an order of their own."""
    return sorted(
        (project.pictures[i.picture].width, np.round(i.keypoints, 1).tolist(), (i.visibility > 0).tolist())
        for i in project.instances
    )


def accepted(folder):
    """Reads the tasks as an export: what a person accepts is an annotation with the same result."""
    tasks = json.loads((folder / "tasks.json").read_text())
    for task in tasks:
        task["annotations"] = task.pop("predictions")
    (folder / "export.json").write_text(json.dumps(tasks))
    (folder / "tasks.json").unlink()
    return read_project(folder)


@pytest.mark.parametrize("form", ["coco", "deeplabcut", "sleap"])
def test_what_is_written_is_read_again(project, tmp_path, form):
    if form == "sleap":
        pytest.importorskip("sleap_io")
    folder, _ = write_prelabels(project, tmp_path / "out", form)
    assert folder == tmp_path / "out" / form
    again = read_project(folder)
    assert again.keypoints == NAMES and len(again.pictures) == 3
    assert found_in(again) == found_in(project)


def test_label_studio_gets_tasks_with_predictions_which_become_labels_once_they_are_accepted(project, tmp_path):
    folder, notes = write_prelabels(project, tmp_path / "out", "label-studio")
    tasks = json.loads((folder / "tasks.json").read_text())
    assert len(tasks) == 3 and "config.xml" in notes[0]
    first = tasks[0]["predictions"][0]["result"][0]
    assert first["type"] == "keypointlabels" and first["value"]["keypointlabels"] == ["nose"]
    assert first["value"]["x"] == pytest.approx(100 * 5 / 60) and first["original_width"] == 60
    ids = [one["id"] for one in tasks[1]["predictions"][0]["result"]]
    assert len(ids) == len(set(ids))
    again = accepted(folder)
    assert again.keypoints == NAMES and found_in(again) == found_in(project)


ODD = ["a%20b.png", "a b.png", "a%2520b.png", "h#a+sh.png", "q'uo&te.png", "über é.png", "50%.png", "%41.png", "A.png"]
if os.name != "nt":  # where a file may have such a name
    ODD += ["h#a?sh.png", "q'\"uo&te<.png"]


ODD_SETS = [(form, names) for form in FORMS for names in (ODD, ODD[::-1])]
ODD_SETS += [("label-studio", [name]) for name in ODD]


@pytest.mark.parametrize(("form", "names"), ODD_SETS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_odd_names_come_back_as_the_same_files(project, tmp_path, form, names):
    if form == "sleap":
        pytest.importorskip("sleap_io")
    pictures = []
    for number, name in enumerate(names):
        Image.new("RGB", (60 + number, 40)).save(tmp_path / name)
        pictures.append(Picture(tmp_path / name, name, 60 + number, 40))
    points = np.array([[15.0, 16.0], [20.5, 21.0], [33.0, 18.0]])
    items = tuple(
        Instance(n, points + n, np.array([2, 2, 2]), box=(0.0, 0.0, 60.0, 40.0)) for n in range(len(pictures))
    )
    project = replace(project, pictures=tuple(pictures), instances=items)
    folder, _ = write_prelabels(project, tmp_path / "out", form)
    again = accepted(folder) if form == "label-studio" else read_project(folder)
    assert found_in(again) == found_in(project)
    assert sorted(again.pictures[item.picture].path.name[-8:] for item in again.instances) == sorted(
        picture.name[-8:] for picture in pictures
    )  # the end: where names differ in case alone, the copies have a number in front


BOXES = {
    "the same box": [(10.0, 10.0, 30.0, 20.0), (10.0, 10.0, 30.0, 20.0)],
    "boxes that round to the same pixels": [(10.2, 10.2, 30.0, 20.0), (10.4, 10.4, 30.0, 20.0)],
    "three, the last one elsewhere": [(10.2, 10, 30, 20), (9.8, 10, 30, 20), (0.0, 0.0, 60.0, 40.0)],
    "no boxes": [None, None],
    "one with a box": [None, (0.0, 0.0, 60.0, 40.0)],
}


@pytest.mark.parametrize("boxes", BOXES)
def test_label_studio_tells_instances_apart_by_more_than_their_boxes(project, tmp_path, boxes):
    points = np.array([[15.0, 16.0], [20.5, 21.0], [33.0, 18.0]])
    items = [Instance(0, points + n, np.array([2, 2, 2]), box=box) for n, box in enumerate(BOXES[boxes])]
    project = replace(project, pictures=project.pictures[:1], instances=tuple(items))
    folder, _ = write_prelabels(project, tmp_path / "out", "label-studio")
    again = accepted(folder)
    assert found_in(again) == found_in(project)
    for one, box in zip(again.instances, BOXES[boxes], strict=True):
        assert box is None or one.box == pytest.approx(box)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_written_over(project, tmp_path, form):
    place = tmp_path / "out" / form
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        write_prelabels(project, tmp_path / "out", form)
    assert [path.name for path in place.iterdir()] == ["mine.txt"]


def test_an_unknown_form_is_named(project, tmp_path):
    with pytest.raises(LvtuneError, match="some of coco, deeplabcut"):
        write_prelabels(project, Path(tmp_path), "dlc")
