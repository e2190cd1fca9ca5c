"""Own pictures from the projects of other tools: what is read, under which option, and what is said."""

from __future__ import annotations

import json

import pytest
from dlc_samples import frame, write_lightning, write_project
from label_samples import NAMES, PICTURES, write_pictures

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError, LvtuneError
from lvtune.data.formats import read_project
from lvtune.data.formats.coco_writer import write_coco
from lvtune.domains import custom_domain


def opened(split="all", **options):
    return custom_domain(DataOptions(**{name: value if isinstance(value, tuple) else str(value)
                                        for name, value in options.items()})).open(split)  # fmt: skip


def test_folder_of_a_project_is_enough(tmp_path):
    split = opened(data=write_project(tmp_path / "p"))
    assert split.table.skeleton.keypoints == NAMES and len(split.table) == 3
    assert split.table.notes[0].startswith("read as DeepLabCut: 4 pictures, 3 instances")


@pytest.mark.parametrize("name", ["CollectedData.csv"])
def test_file_of_another_tool_in_place_of_annotations(tmp_path, name):
    root = write_lightning(tmp_path / "p")
    assert len(opened(annotations=root / name).table) == 3
    (tmp_path / "labels").mkdir()
    moved = (root / name).rename(tmp_path / "labels" / name)
    assert len(opened(annotations=moved, data=root).table) == 3  # pictures elsewhere


YOLO = "train: images/train\nkpt_shape: [1, 3]\nkpt_names: {0: [nose]}\n"
CVAT = (
    "<annotations><version>1.1</version>{}</annotations>",
    '<image id="0" name="{}.png" width="96" height="64"><points label="nose" points="5,6"/></image>',
)
OTHERS = {
    "data.yaml": ("YOLO-pose", YOLO),
    "annotations.xml": ("CVAT", CVAT[0].format("".join(CVAT[1].format(name) for name in "ab"))),
    "labels.csv": ("Lightning Pose", "scorer,m,m\nbodyparts,nose,nose\ncoords,x,y\na.png,1,2\nb.png,1,2\n"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_one_file_of_another_tool_is_read_as_that(tmp_path, name):
    tool, text = OTHERS[name]
    folder = tmp_path / "images" / "train" if name == "data.yaml" else tmp_path
    write_pictures(folder, ["a.png", "b.png"])
    if name == "data.yaml":
        (tmp_path / "labels" / "train").mkdir(parents=True)
        for stem in "ab":
            (tmp_path / "labels" / "train" / f"{stem}.txt").write_text("0 0.5 0.5 0.2 0.2 0.5 0.5 2")
    (tmp_path / name).write_text(text)
    table = opened(annotations=tmp_path / name).table
    assert len(table) == 2 and table.skeleton.keypoints == ("nose",)
    assert table.notes[0].startswith(f"read as {tool}")


UNKNOWN = {
    "table.csv": "time,x,y\n0,1,2\n",
    "feed.xml": "<rss></rss>",
    "settings.yaml": "batch: 3\n",
    "labels.h5": "nothing",
    "video_predictions.csv": "scorer,n,n,n\nbodyparts,a,a,a\ncoords,x,y,likelihood\n0,1,2,0.9\n",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_file_of_no_known_tool(tmp_path, name):
    (tmp_path / name).write_text(UNKNOWN[name])
    with pytest.raises(LvtuneError, match=r"no labels were recognised|predictions for a video") as caught:
        opened(annotations=tmp_path / name)
    assert name in caught.value.given and "not JSON" not in str(caught.value)


def test_label_studio_and_labelme_are_not_taken_for_coco(tmp_path):
    write_pictures(tmp_path, ["a.png", "b.png"])
    shape = {"label": "nose", "points": [[5, 6]], "shape_type": "point", "group_id": None}
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"shapes": [shape], "imagePath": f"{name}.png"}))
    assert "labelme" in opened(annotations=tmp_path / "a.json").table.notes[0]
    value = {"x": 10, "y": 10, "keypointlabels": ["nose"]}
    result = [{"id": "1", "type": "keypointlabels", "value": value, "to_name": "image"}]
    tasks = [{"id": 1, "data": {"image": f"{n}.png"}, "annotations": [{"result": result}]} for n in "ab"]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    assert "Label Studio" in opened(annotations=tmp_path / "tasks.json").table.notes[0]


def test_written_coco_folder_is_data_again(tmp_path):
    root = write_lightning(tmp_path / "p")
    frame(PICTURES[2:], ["scorer", "bodyparts", "coords"], three=False).to_csv(root / "CollectedData_new.csv")
    frame(PICTURES[:2], ["scorer", "bodyparts", "coords"], three=False).to_csv(root / "CollectedData.csv")
    write_coco(read_project(root), tmp_path / "coco")
    split = opened("test", data=tmp_path / "coco")
    assert split.name == "own pictures (test)" and split.table.image_path(0).is_file()


def test_own_split_of_the_project(tmp_path):
    root = write_lightning(tmp_path / "p")
    frame(PICTURES[:2], ["scorer", "bodyparts", "coords"], three=False).to_csv(root / "CollectedData.csv")
    frame(PICTURES[2:], ["scorer", "bodyparts", "coords"], three=False).to_csv(root / "CollectedData_new.csv")
    assert len(opened("train", data=root).table) == 2
    test = opened("test", data=root).table
    assert list(test.column("image")) == ["labeled-data/v2/img01.png"]
    by_picture = opened("train", data=root, split_by="picture").table
    assert len(by_picture) == 2 and any("a split of its own, which is not used" in note for note in by_picture.notes)
    with pytest.raises(DataError, match="without a split of its own"):
        opened(data=write_project(tmp_path / "q"), split_by="project")


def test_mirror_pairs_of_the_labels_reach_the_skeleton(tmp_path):
    write_pictures(tmp_path / "images" / "train", ["a.png", "b.png"])
    (tmp_path / "labels" / "train").mkdir(parents=True)
    for name in "ab":
        (tmp_path / "labels" / "train" / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2" + " 0.5 0.5 2" * 3)
    config = "train: images/train\nkpt_shape: [3, 3]\nflip_idx: [2, 1, 0]\n"
    (tmp_path / "data.yaml").write_text(config)
    skeleton = opened(data=tmp_path).table.skeleton
    assert skeleton.keypoints == ("0", "1", "2") and skeleton.mirrors and skeleton.flip_index == (2, 1, 0)


def test_boxes_that_nobody_drew(tmp_path):
    root = write_project(tmp_path / "p")
    assert opened(data=root, missing_boxes="whole").table[0].bbox.tolist() == [0, 0, 96, 64]
    tight, usual = (custom_domain(DataOptions(data=str(root), box_margin=m)).open("all").table for m in (0.0, 0.15))
    assert 0 < tight[0].bbox[2] < usual[0].bbox[2] < 50
    assert any("margin of 0%" in note for note in tight.notes)


def test_test_annotations_beside_a_project(tmp_path):
    root = write_project(tmp_path / "p")
    write_coco(read_project(root), tmp_path / "coco")
    split = opened("test", data=root, test_annotations=tmp_path / "coco" / "annotations.json")
    assert len(split.table) == 3


@pytest.mark.parametrize("kind", ["empty", "pictures alone", "detector's yolo"])
def test_folder_that_is_no_project(tmp_path, kind):
    if kind == "pictures alone":
        write_pictures(tmp_path)
    if kind == "detector's yolo":
        (tmp_path / "data.yaml").write_text("train: images\nnames: [mouse]\n")
    with pytest.raises(LvtuneError, match="no labels were recognised") as caught:
        opened(data=tmp_path)
    assert "config.yaml with labeled-data" in caught.value.expected and "kpt_shape" in caught.value.expected


def test_data_that_are_not_there(tmp_path):
    with pytest.raises(LvtuneError, match="no file or folder at"):
        opened(data=tmp_path / "gone")
