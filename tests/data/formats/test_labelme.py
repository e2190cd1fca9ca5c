import base64
import json

import pytest
from label_samples import HEIGHT, NAMES, PICTURES, WIDTH, animals, dump, matches, write_pictures

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.data.formats.coco_writer import write_coco


def shape(label, points, kind, group):
    return {"label": label, "points": points, "group_id": group, "shape_type": kind, "flags": {}, "description": ""}


def shapes_of(name, boxes=True, groups=True):
    found = []
    for number, animal in enumerate(a for a in animals() if a.picture == name):
        group = number if groups else None
        x, y, w, h = animal.box
        if boxes:  # drawn from the lower right corner to the upper left one
            found.append(shape("mouse", [[x + w, y + h], [x, y]], "rectangle", group))
        for part, (px, py, v) in zip(NAMES, animal.points, strict=True):
            found += [shape(part, [[px, py]], "point", group)] if v else []
    return found


def write_labelme(root, inside=False, backslash=False, listing=True, **how):
    write_pictures(root)
    for name in PICTURES:
        data = base64.b64encode((root / name).read_bytes()).decode() if inside else None
        local = name.split("/")[1]
        dump((root / name).with_suffix(".json"), {
            "version": "5.4.1", "flags": {}, "shapes": shapes_of(name, **how), "imageData": data,
            "imagePath": f"..\\{name.replace('/', chr(92))}" if backslash else local,
            "imageHeight": HEIGHT, "imageWidth": WIDTH,
        })  # fmt: skip
        if inside:
            (root / name).unlink()
    if listing:
        (root / "labels.txt").write_text("\n".join(["__ignore__", "_background_", "mouse", *NAMES]))
    return root


VARIANTS = {"beside": {}, "windows": {"backslash": True}, "inside": {"inside": True}, "no boxes": {"boxes": False}}


@pytest.mark.parametrize("variant", VARIANTS)
def test_labels_come_back(tmp_path, variant):
    project = read_project(write_labelme(tmp_path / "p", **VARIANTS[variant]))
    assert project.format == "labelme"
    written = write_coco(project, tmp_path / "out")
    content = json.loads(written.annotations["all"].read_text())
    if variant == "inside":  # two pictures of one name are two
        assert len({image["file_name"] for image in content["images"]}) == 4 and len(content["annotations"]) == 4
        return
    matches(content, written.images, boxes=variant != "no boxes")


def test_any_file_of_the_folder_stands_for_it(tmp_path):
    root = write_labelme(tmp_path / "p")
    assert len(read_project(root / "v1" / "img01.json").pictures) == 2


def test_names_without_a_list_stand_as_they_appear(tmp_path):
    project = read_project(write_labelme(tmp_path / "p", listing=False))
    assert project.keypoints == NAMES and any("labels.txt" in note for note in project.notes)


def test_two_animals_without_group_ids_are_not_merged(tmp_path):
    root = write_labelme(tmp_path / "p", groups=False, boxes=False)
    with pytest.raises(DataError, match=r"img02.json with snout twice"):
        read_project(root)
    # with rectangles the points are sorted by where they lie
    project = read_project(write_labelme(tmp_path / "q", groups=False))
    assert len(project.instances) == 4


def test_hidden_points_and_other_shapes(tmp_path):
    root = write_labelme(tmp_path / "p")
    file = root / "v1" / "img01.json"
    values = json.loads(file.read_text())
    values["shapes"][1]["flags"] = {"occluded": True}
    values["shapes"].append(shape("bed", [[1, 1], [2, 2], [3, 1]], "polygon", None))
    file.write_text(json.dumps(values))
    project = read_project(root)
    assert project.instances[0].visibility.tolist() == [1, 2, 2, 2]
    assert any(note == "1 shape of type polygon: left out" for note in project.notes)
