import json
from pathlib import Path

import pytest
from dlc_samples import frame, write_lightning
from label_samples import PICTURES, matches

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.data.formats.coco_writer import write_coco


@pytest.mark.parametrize("part", ["", "CollectedData.csv"])
def test_labels_come_back(tmp_path, part):
    project = read_project(write_lightning(tmp_path / "p") / part)
    assert project.format == "Lightning Pose"
    assert [picture.group for picture in project.pictures] == ["v1", "v1", "v2", "v2"]
    written = write_coco(project, tmp_path / "out")
    matches(json.loads(written.annotations["all"].read_text()), written.images, single=True)


def test_table_of_new_sessions_is_the_test_part(tmp_path):
    root = write_lightning(tmp_path / "p")
    levels = ["scorer", "bodyparts", "coords"]
    frame(PICTURES[:2], levels, three=False).to_csv(root / "CollectedData.csv")
    frame(PICTURES[2:], levels, three=False).to_csv(root / "CollectedData_new.csv")
    project = read_project(root)
    assert {part: len(places) for part, places in project.splits.items()} == {"train": 2, "test": 2}
    written = write_coco(project, tmp_path / "out")
    assert sorted(path.name for path in written.annotations.values()) == ["test.json", "train.json"]


def test_tables_of_other_key_points_are_not_mixed(tmp_path):
    root = write_lightning(tmp_path / "p")
    (root / "other.csv").write_text("scorer,m,m\nbodyparts,fin,fin\ncoords,x,y\nlabeled-data/v1/img01.png,1,2\n")
    with pytest.raises(DataError, match="different key points"):
        read_project(root)


def test_example_of_lightning_pose():
    """Six frames of the example mirror-mouse, whose numbers stand in its table (see samples/README.md)."""
    project = read_project(Path(__file__).parent / "samples" / "mirror-mouse")
    assert len(project.keypoints) == 17 and project.keypoints[:2] == ("paw1LH_top", "paw2LF_top")
    assert len(project.pictures) == len(project.instances) == 6
    first = project.instances[0]
    assert project.pictures[first.picture].name.startswith("labeled-data/img")
    assert [(item.visibility > 0).sum() for item in project.instances] == [15, 17, 17, 14, 17, 17]
