import json

import pytest
from label_samples import HEIGHT, LINKS, NAMES, PICTURES, WIDTH, animals, dump, matches, write_pictures

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.data.formats.coco_writer import write_coco


def content(names=PICTURES, prefix="", links=1, **category):
    return {
        "images": [
            {"id": n, "file_name": prefix + name, "width": WIDTH, "height": HEIGHT} for n, name in enumerate(names)
        ],
        "annotations": [
            {"id": n, "image_id": names.index(a.picture), "category_id": 7, "bbox": list(a.box), "iscrowd": 0,
             "keypoints": [v for point in a.points for v in point]}
            for n, a in enumerate(one for one in animals() if one.picture in names)
        ],
        "categories": [
            {"id": 0, "name": "mice", "supercategory": "none"},  # as Roboflow writes it
            {"id": 7, "name": "mouse", "keypoints": list(NAMES), "skeleton": [[a + links, b + links] for a, b in LINKS],
             **category},
        ],
    }  # fmt: skip


LAYOUTS = {
    "beside its pictures": ("labels.json", ".", ""),
    "images": ("annotations/labels.json", "images", ""),
    "names with the folder": ("labels.json", "images", "images/"),
    "windows": ("labels.json", "pictures", "C:\\me\\pictures\\"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_come_back(tmp_path, layout):
    file, folder, prefix = LAYOUTS[layout]
    root = tmp_path / "p"
    write_pictures(root / folder)
    dump(root / file, content(prefix=prefix))
    project = read_project(root)
    assert (project.format, project.links, project.flip_pairs) == ("COCO", LINKS, None)
    written = write_coco(project, tmp_path / "out")
    matches(json.loads(written.annotations["all"].read_text()), written.images, boxes=True, visibility=True)


def test_names_that_lead_out_of_the_folder_stay_in_the_output(tmp_path):
    write_pictures(tmp_path / "pictures")
    dump(tmp_path / "p" / "labels.json", content(prefix="../pictures/"))
    written = write_coco(read_project(tmp_path / "p"), tmp_path / "out")
    matches(json.loads(written.annotations["all"].read_text()), written.images, boxes=True)
    assert len([*(tmp_path / "out" / "images").rglob("*.png")]) == 4


def test_roboflow(tmp_path):
    root = tmp_path / "p"
    for part, names in (("train", PICTURES[:2]), ("valid", PICTURES[2:])):
        write_pictures(root / part, names)
        dump(root / part / "_annotations.coco.json", content(names))
    project = read_project(root)
    assert {part: len(places) for part, places in project.splits.items()} == {"train": 2, "val": 2}
    assert len(project.instances) == 4


def test_what_was_written_reads_back_the_same(tmp_path):
    root = tmp_path / "p"
    write_pictures(root)
    dump(root / "labels.json", content(flip_pairs=[["leftear", "rightear"]]))
    first = read_project(root)
    write_coco(first, tmp_path / "out")
    again = read_project(tmp_path / "out")
    assert first.flip_pairs == again.flip_pairs == ((1, 2),)
    assert [one.keypoints.tolist() for one in first.instances] == [one.keypoints.tolist() for one in again.instances]
    assert [one.box for one in first.instances] == [one.box for one in again.instances]


def test_links(tmp_path):
    write_pictures(tmp_path)
    dump(tmp_path / "labels.json", content(links=0))
    project = read_project(tmp_path)
    assert project.links == LINKS and any("count from 0" in note for note in project.notes)
    dump(tmp_path / "labels.json", content(skeleton=[[1, 2], [1, 9]]))
    project = read_project(tmp_path)
    assert project.links == ((0, 1),) and any("1 of 2 links" in note for note in project.notes)


def test_files_of_other_key_points_are_not_mixed(tmp_path):
    write_pictures(tmp_path)
    dump(tmp_path / "a.json", content())
    dump(tmp_path / "b.json", content(keypoints=["nose"]))
    with pytest.raises(DataError, match="other key points"):
        read_project(tmp_path)


def test_output_folder_must_be_new(tmp_path):
    root = tmp_path / "p"
    write_pictures(root)
    dump(root / "labels.json", content())
    project = read_project(root)
    with pytest.raises(DataError, match="not empty"):
        write_coco(project, root)
    written = write_coco(project, tmp_path / "links", link=True)
    assert all(path.is_symlink() for path in written.images.rglob("*.png"))
    assert any("links to 4 pictures" in note for note in written.notes)
