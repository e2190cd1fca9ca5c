import json
import pickle

import numpy as np
import pytest
from dlc_samples import SCORER, frame, write_project
from label_samples import LINKS, NAMES, PICTURES, matches

from lvtune.core.errors import DataError
from lvtune.data.formats import detect, read_project
from lvtune.data.formats.coco_writer import to_coco, write_coco

VARIANTS = {
    "csv": {},
    "one column": {"three": False},
    "windows": {"three": False, "windows": True},
    "h5 alone": {"kind": "h5"},
    "h5 in pandas' table form": {"kind": "h5", "three": False, "fixed": False},
    "both": {"kind": "both"},
    "several animals": {"single": False},
    "several animals, h5 alone": {"single": False, "kind": "h5"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_labels_come_back(tmp_path, variant):
    options = VARIANTS[variant]
    root = write_project(tmp_path / "mice-me-2024", **options)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    project = read_project(root)
    assert (project.format, project.links, project.flip_pairs) == ("DeepLabCut", LINKS, None)
    assert [picture.group for picture in project.pictures] == ["v1", "v1", "v2", "v2"]
    written = write_coco(project, tmp_path / "out")
    matches(json.loads(written.annotations["all"].read_text()), written.images, single=options.get("single", True))
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_individuals_keep_their_names(tmp_path):
    project = read_project(write_project(tmp_path / "p", single=False))
    assert [item.individual for item in project.instances] == ["a", "a", "b", "a"]


def test_unique_body_parts_make_no_animal_and_are_told(tmp_path):
    project = read_project(write_project(tmp_path / "p", single=False, unique=("corner",)))
    assert len(project.instances) == 4 and project.keypoints == NAMES
    assert any("corner" in note and "4 points" in note for note in project.notes)


@pytest.mark.parametrize("part", ["", "config.yaml", "labeled-data/v1", f"labeled-data/v1/CollectedData_{SCORER}.csv"])
def test_project_is_recognised_by_any_of_its_parts(tmp_path, part):
    root = write_project(tmp_path / "p")
    project = read_project(root / part)
    assert project.format == "DeepLabCut" and project.keypoints == NAMES
    assert len(project.pictures) == (2 if "v1" in part else 4)


def test_h5_by_itself(tmp_path):
    root = write_project(tmp_path / "p", kind="h5")
    assert len(read_project(root / f"labeled-data/v1/CollectedData_{SCORER}.h5").instances) == 2


def test_csv_saved_by_a_spreadsheet_with_semicolons(tmp_path):
    root = write_project(tmp_path / "p")
    for file in root.rglob("*.csv"):
        file.write_text("\ufeff" + file.read_text().replace(",", ";"), encoding="utf-8")
    assert len(read_project(root).instances) == 3


def test_body_part_that_the_project_no_longer_has_is_told(tmp_path):
    root = write_project(tmp_path / "p")
    config = (root / "config.yaml").read_text()
    config = config.replace("bodyparts:\n- snout\n- leftear\n- rightear\n- tailbase", "bodyparts: [snout, leftear]")
    (root / "config.yaml").write_text(config)
    project = read_project(root)
    assert project.keypoints == ("snout", "leftear")
    assert any("rightear, tailbase" in note and "left out" in note for note in project.notes)


def test_several_scorers_are_not_guessed_at(tmp_path):
    root = write_project(tmp_path / "p")
    folder = root / "labeled-data" / "v1"
    for name in ("ann", "bob"):
        (folder / f"CollectedData_{name}.csv").write_bytes((folder / f"CollectedData_{SCORER}.csv").read_bytes())
    assert len(read_project(root).pictures) == 4  # the scorer of config.yaml
    (folder / f"CollectedData_{SCORER}.csv").unlink()
    with pytest.raises(DataError, match=r"ann.*bob"):
        read_project(root)


@pytest.mark.parametrize("kind", ["csv", "h5"])
def test_the_table_of_another_scorer_is_not_read_and_named(tmp_path, kind):
    root = write_project(tmp_path / "p", "both")
    alone = read_project(root)
    assert not any("CollectedData" in note for note in alone.notes)  # the CSV and the H5 of one scorer
    file = root / "labeled-data" / "v1" / f"CollectedData_lvtune.{kind}"
    file.write_bytes(file.with_stem(f"CollectedData_{SCORER}").read_bytes())
    project = read_project(root)
    assert len(project.instances) == len(alone.instances)
    (note,) = [note for note in project.notes if "CollectedData" in note]
    assert note.startswith(f"v1/CollectedData_lvtune.{kind} is not read: CollectedData_{SCORER}.csv beside it")
    assert "scorer: lvtune" in note and str(file) in note
    if kind == "csv":
        file.write_text(file.read_text().replace("20.5", "21.5"))
        assert read_project(file).instances[0].keypoints[0, 0] == 21.5  # what the note says to type


def test_a_folder_with_the_table_of_another_scorer_alone_is_read_and_named(tmp_path):
    root = write_project(tmp_path / "p")
    file = root / "labeled-data" / "v1" / f"CollectedData_{SCORER}.csv"
    file.rename(file.with_stem("CollectedData_lvtune"))
    project = read_project(root)
    assert len(project.instances) == 3
    (note,) = [note for note in project.notes if "CollectedData" in note]
    assert note.startswith("v1/CollectedData_lvtune.csv is read, although config.yaml has the scorer me")


def test_value_that_is_no_number_is_named_with_its_line(tmp_path):
    root = write_project(tmp_path / "p")
    file = root / f"labeled-data/v1/CollectedData_{SCORER}.csv"
    file.write_text(file.read_text().replace("20.5", "20.5px"))
    with pytest.raises(DataError, match=r"'20.5px' in line 4"):
        read_project(root)


def test_missing_pictures_are_counted_with_their_instances(tmp_path):
    root = write_project(tmp_path / "p")
    (root / "labeled-data/v1/img01.png").unlink()
    project = read_project(root)
    assert len(project.pictures) == 3 and len(project.instances) == 2
    assert any(
        note.startswith("1 of 4 labelled pictures is missing and left out with 1 instance:") for note in project.notes
    )
    for path in root.rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match="none of the 4 pictures is there"):
        read_project(root)


def test_predictions_for_a_video_are_no_labels(tmp_path):
    file = tmp_path / "videoDLC_resnet50.csv"
    file.write_text("scorer,n,n,n\nbodyparts,a,a,a\ncoords,x,y,likelihood\n0,1,2,0.9\n1,1,2,0.9\n")
    with pytest.raises(DataError, match="predictions for a video"):
        read_project(file)


def test_h5_with_pickled_objects_is_refused_unread(tmp_path):
    import h5py

    root = write_project(tmp_path / "p", kind="h5", three=False, fixed=False)
    file = root / f"labeled-data/v1/CollectedData_{SCORER}.h5"
    flag = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (open, (str(flag), "w"))

    with h5py.File(file, "r+") as store:
        store["df_with_missing/table"].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(Trap(), protocol=0))
    with pytest.raises(DataError, match="asks for"):
        read_project(root)
    assert not flag.exists()


def write_split(root, train, test, fill=0):
    folder = root / "training-datasets" / "iteration-0" / "UnaugmentedDataSet_miceJan1"
    folder.mkdir(parents=True)
    frame(PICTURES, ["scorer", "bodyparts", "coords"]).to_csv(folder / f"CollectedData_{SCORER}.csv")
    images = [{"image": tuple(PICTURES[n].split("/")), "joints": np.zeros((1, 3))} for n in train]
    content = [images, np.array([*train, *[-1] * fill]), np.array(test), 0.75]
    for shuffle, parts in ((1, content), (2, [images, [1], [2], 0.5])):
        with (folder / f"Documentation_data-mice_75shuffle{shuffle}.pickle").open("wb") as file:
            pickle.dump(parts, file, pickle.HIGHEST_PROTOCOL)


def test_own_split_of_the_first_shuffle(tmp_path):
    root = write_project(tmp_path / "p")
    write_split(root, [3, 0], [1], fill=2)
    project = read_project(root)
    names = {part: [project.pictures[n].name for n in places] for part, places in project.splits.items()}
    wanted = {"train": [PICTURES[3], PICTURES[0]], "test": [PICTURES[1]]}
    assert names == {part: [f"labeled-data/{name}" for name in listed] for part, listed in wanted.items()}
    assert any("shuffle1" in note and "1 picture labelled since" in note for note in project.notes)


def test_split_that_runs_code_is_not_used(tmp_path):
    root = write_project(tmp_path / "p")
    write_split(root, [0], [1])
    flag = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (open, (str(flag), "w"))

    for file in root.rglob("*.pickle"):
        file.write_bytes(pickle.dumps([[], [0], [1], Trap()]))
    project = read_project(root)
    assert not project.splits and not flag.exists()
    assert any("not used" in note for note in project.notes)


def test_boxes_follow_the_points_or_the_picture(tmp_path):
    project = read_project(write_project(tmp_path / "p"))
    content, notes = to_coco(project)
    x, y, width, height = content["annotations"][0]["bbox"]
    assert x < 20.5 and y < 26 and x + width > 50 and y + height > 33  # around snout, ears and tail base
    assert width < 50 and "around the labelled points" in notes[0]
    content, notes = to_coco(project, "whole")
    assert content["annotations"][0]["bbox"] == [0, 0, 96, 64] and "whole picture" in notes[0]


def test_detection(tmp_path):
    root = write_project(tmp_path / "p")
    assert detect(root) == ("deeplabcut", root / "config.yaml")
    (tmp_path / "empty").mkdir()
    assert detect(tmp_path / "empty") is None
    with pytest.raises(DataError) as caught:
        read_project(tmp_path / "empty")
    for tool in ("DeepLabCut", "Lightning Pose", "SLEAP", "YOLO-pose", "Label Studio", "CVAT", "labelme", "COCO"):
        assert tool in caught.value.expected
