import json
from dataclasses import replace

import numpy as np
import pytest
from dlc_samples import write_lightning, write_project
from label_samples import NAMES

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.data.formats.coco_writer import to_coco
from lvtune.data.formats.label_project import Instance, LabelProject, Picture
from lvtune.data.formats.point_boxes import box_around
from lvtune.data.formats.project_tables import tables_of
from lvtune.data.skeletons import Skeleton


def test_persons_of_a_project(tmp_path):
    project = read_project(write_project(tmp_path / "p", single=False))
    made = tables_of(project)
    table = made.tables["all"]
    assert table.skeleton.keypoints == NAMES and len(table) == 4
    assert table.picture(0).shape == (64, 96, 3)
    assert table.notes[0] == project.notes[0]
    assert any("without a drawn box" in note for note in table.notes)
    assert made.groups["labeled-data/v2/img01.png"] == "v2"
    again = tables_of(project)
    assert again.tables["all"].fingerprint == table.fingerprint


def test_some_key_points_in_another_order(tmp_path):
    project = read_project(write_lightning(tmp_path / "p"))
    skeleton = Skeleton("two", ("tailbase", "snout"), (0.1, 0.1))
    table = tables_of(project, skeleton=skeleton).tables["all"]
    np.testing.assert_allclose(table[0].keypoints, [[50, 31, 2], [20.5, 30.25, 2]])


def test_pictures_that_lie_elsewhere_are_found_by_their_path(tmp_path):
    root = write_project(tmp_path / "p")
    pictures = root.rename(tmp_path / "pictures")
    labels = tmp_path / "labels" / "labeled-data"
    for folder in ("v1", "v2"):
        (labels / folder).mkdir(parents=True)
        file = pictures / "labeled-data" / folder / "CollectedData_me.csv"
        file.rename(labels / folder / file.name)
    project = read_project(tmp_path / "labels", pictures)
    table = tables_of(project).tables["all"]
    assert len(table) == 3 and all(table.image_path(n).is_file() for n in range(3))


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("LVTUNE_CACHE", str(blocked))
    assert len(tables_of(read_project(write_lightning(tmp_path / "p"))).tables["all"]) == 3


def project_of(*rows, splits=None):
    """A project of one key point; a row is (picture, x, y, v)."""
    pictures = tuple(Picture(None, f"{n}.png", 100, 50) for n in range(3))
    items = tuple(Instance(p, np.array([[x, y]], float), np.array([v])) for p, x, y, v in rows)
    return LabelProject("a tool", None, ("nose",), pictures, items, splits=splits or {})


def test_part_holds_its_pictures_and_their_instances():
    project = project_of((0, 1, 2, 2), (2, 3, 4, 2), (2, 5, 6, 1), splits={"test": (2, 1)})
    part = project.part("test")
    assert [picture.name for picture in part.pictures] == ["2.png", "1.png"]
    assert [(item.picture, item.keypoints[0, 0]) for item in part.instances] == [(0, 3), (0, 5)]


def test_categories_are_those_of_all_parts():
    project = project_of((0, 1, 2, 2), (2, 3, 4, 2), splits={"train": (0,), "test": (2,)})
    rat = replace(project.instances[1], category="rat")
    project = replace(project, instances=(project.instances[0], rat), categories=("", "rat"))
    content, _ = to_coco(project.part("test"))
    assert [one["name"] for one in content["categories"]] == ["instance", "rat"]
    assert content["annotations"][0]["category_id"] == 2


def test_instances_outside_their_picture_are_counted():
    content, notes = to_coco(project_of((0, 500, 20, 2), (1, 20, 20, 2)))
    assert [item["image_id"] for item in content["annotations"]] == [2]
    assert any(note.startswith("1 instance with every point outside") for note in notes)
    json.dumps(content)


@pytest.mark.parametrize(
    ("points", "box"),
    [
        ([[10, 10], [50, 30]], (4, 4, 52, 32)),  # 15 % of 40 px
        ([[10, 10]], (0, 0, 26, 26)),  # 32 px at least, cut at the edge
        ([[0, 0], [100, 50]], (0, 0, 100, 50)),  # cut at the edge
    ],
)
def test_box_around_points(points, box):
    points = np.array(points, float)
    np.testing.assert_allclose(box_around(points, np.full(len(points), 2), (100, 50)), box)


def test_project_without_labelled_points(tmp_path):
    root = write_lightning(tmp_path / "p")
    lines = (root / "CollectedData.csv").read_text().splitlines()
    empty = [line if n < 3 else line.split(",")[0] + "," * 8 for n, line in enumerate(lines)]
    (root / "CollectedData.csv").write_text("\n".join(empty))
    with pytest.raises(DataError, match="no labelled point"):
        read_project(root)
