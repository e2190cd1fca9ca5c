import json

import pytest
import yaml
from label_samples import FLIP, HEIGHT, NAMES, PICTURES, WIDTH, animals, matches, write_pictures

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.data.formats.coco_writer import write_coco
from lvtune.data.skeletons import COCO_17

TRAIN, VAL = PICTURES[:2], PICTURES[2:]
LAYOUTS = {
    # folder of a part's pictures and labels, what data.yaml says
    "images/train": ("images/{}", "labels/{}", {"path": ".", "train": "images/train", "val": "images/val"}),
    "path of another machine": (
        "images/{}",
        "labels/{}",
        {"path": "/data/mice", "train": "images/train", "val": "images/val"},
    ),
    "roboflow": ("{}/images", "{}/labels", {"train": "../train/images", "val": "../valid/images"}),
    "roboflow on windows": ("{}/images", "{}/labels", {"train": "train\\images", "val": "valid\\images"}),
    "list files": ("images/{}", "labels/{}", {"path": "", "train": "train.txt", "val": "val.txt"}),
}


def rows_of(name, width=3):
    lines = []
    for animal in (one for one in animals() if one.picture == name):
        x, y, w, h = animal.box
        numbers = [(x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT]
        for px, py, v in animal.points:
            numbers += [px / WIDTH, py / HEIGHT, v][:width] if v else [0, 0, 0][:width]
        lines.append(" ".join(["0", *(f"{number:.6f}" for number in numbers)]))
    return "\n".join(lines)


def write_yolo(root, layout="images/train", width=3, flip=True, kpt_names=True, **more):
    images, labels, paths = LAYOUTS[layout]
    for part, names in (("train", TRAIN), ("valid" if layout.startswith("roboflow") else "val", VAL)):
        write_pictures(root / images.format(part), names)
        for name in names:
            file = root / labels.format(part) / name.replace(".png", ".txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(rows_of(name, width))
        if layout == "list files":
            listed = "\n".join(f"./images/{part}/{name}" for name in names)
            (root / f"{part}.txt").write_text(listed)
    config = {**paths, "kpt_shape": [len(NAMES), width], "names": {0: "mouse"}}
    config |= {"flip_idx": list(FLIP)} if flip else {}
    config |= {"kpt_names": {0: list(NAMES)}} if kpt_names else {}
    (root / "data.yaml").write_text(yaml.safe_dump(config | more))
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_come_back(tmp_path, layout):
    project = read_project(write_yolo(tmp_path / "p", layout))
    assert (project.format, project.flip_pairs) == ("YOLO-pose", ((1, 2),))
    written = write_coco(project, tmp_path / "out")
    assert set(written.annotations) == {"train", "val"}
    whole = {"images": [], "annotations": [], "categories": []}
    for number, file in enumerate(written.annotations.values()):
        content = json.loads(file.read_text())
        for item in content["annotations"]:
            item["image_id"] += 100 * number
        for image in content["images"]:
            image["id"] += 100 * number
        whole = {key: whole[key] + content[key] for key in whole}
    assert {one["name"] for one in whole["categories"]} == {"mouse"}
    assert whole["categories"][0]["flip_pairs"] == [["leftear", "rightear"]]
    matches(whole, written.images, boxes=True, visibility=True)
    assert any("1 picture has no row" in note for note in project.notes)


@pytest.mark.parametrize("part", ["", "data.yaml"])
def test_two_numbers_a_point(tmp_path, part):
    project = read_project(write_yolo(tmp_path / "p", width=2) / part)
    assert [item.visibility.tolist() for item in project.instances] == [
        [2, 2, 2, 2], [2, 2, 0, 2], [2, 2, 2, 2], [2, 0, 2, 0]
    ]  # fmt: skip
    assert any("3 key points at 0 0" in note for note in project.notes)


def test_made_by_sleap_io(tmp_path):
    import sleap_io as sio

    write_pictures(tmp_path / "source")
    video = sio.Video.from_filename([str(tmp_path / "source" / name) for name in PICTURES[:2]])
    skeleton = sio.Skeleton(list(NAMES))
    frames = [
        sio.LabeledFrame(
            video=video, frame_idx=PICTURES.index(animal.picture),
            instances=[sio.Instance.from_numpy([[x, y] for x, y, _ in animal.points], skeleton=skeleton)],
        )
        for animal in animals() if animal.picture == PICTURES[0]
    ]  # fmt: skip
    labels = sio.Labels(labeled_frames=frames, videos=[video], skeletons=[skeleton])
    sio.save_ultralytics(labels, str(tmp_path / "p"), split_ratios={"train": 1.0}, verbose=False)
    project = read_project(tmp_path / "p")
    (only,) = project.instances
    assert abs(only.keypoints - [[20.5, 30.25], [24, 26], [25, 33], [50, 31]]).max() <= 0.5


def test_names_that_the_file_does_not_have(tmp_path):
    project = read_project(write_yolo(tmp_path / "p", kpt_names=False))
    assert project.keypoints == ("0", "1", "2", "3")
    assert any("names no key points" in note for note in project.notes)


def test_shape_and_mirror_of_coco_mean_its_names(tmp_path):
    root = write_yolo(tmp_path / "p", kpt_names=False, flip_idx=list(COCO_17.flip_index), kpt_shape=[17, 3])
    for file in root.rglob("*.txt"):
        file.write_text("0 0.5 0.5 0.2 0.2 " + "0.5 0.5 2 " * 17)
    project = read_project(root)
    assert project.keypoints == COCO_17.keypoints
    assert any("COCO's" in note for note in project.notes)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("0 48 32 20 20" + " 0.5 0.5 2" * 4, "shares of the picture"),
        ("0 0.5 0.5 0.2 0.2" + " 0.5 0.5 2" * 3, "17: class, box and 4 key points"),
        ("mouse 0.5 0.5 0.2 0.2" + " 0.5 0.5 2" * 4, "numbers"),
    ],
)
def test_wrong_rows_are_named(tmp_path, row, error):
    root = write_yolo(tmp_path / "p")
    (root / "labels/train/v1/img02.txt").write_text(f"\n{row}\n")
    with pytest.raises(DataError, match=error) as caught:
        read_project(root)
    assert "line 2 of" in caught.value.given and "img02.txt" in caught.value.given


def test_rows_of_a_detector_are_told(tmp_path):
    root = write_yolo(tmp_path / "p")
    (root / "labels/train/v1/img01.txt").write_text("0 0.5 0.5 0.2 0.2")
    project = read_project(root)
    assert len(project.instances) == 3
    assert any("1 row without key points" in note for note in project.notes)


def test_folders_that_are_not_there(tmp_path):
    (tmp_path / "data.yaml").write_text("train: nowhere/images\nkpt_shape: [4, 3]\n")
    with pytest.raises(DataError, match="nowhere/images"):
        read_project(tmp_path)


def test_flip_idx_that_cannot_be(tmp_path):
    root = write_yolo(tmp_path / "p", flip_idx=[1, 2, 0, 3])
    with pytest.raises(DataError, match="flip_idx"):
        read_project(root)
