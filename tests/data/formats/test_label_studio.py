import json

import numpy as np
import pytest
from label_samples import HEIGHT, NAMES, PICTURES, WIDTH, animals, dump, matches, write_pictures

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.data.formats.coco_writer import write_coco

CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">
<Label value="mouse"/></RectangleLabels><KeyPointLabels name="kp" toName="image">{}</KeyPointLabels></View>"""


def result(number, kind, value, **more):
    return {
        "id": number, "type": kind, "value": value, "to_name": "image", "from_name": "kp",
        "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, **more,
    }  # fmt: skip


def results_of(name, tie="parentID", rectangles=True):
    found = []
    for animal in (one for one in animals() if one.picture == name):
        box = f"box-{animal.individual}"
        if rectangles:
            x, y, w, h = (100 * v / side for v, side in zip(animal.box, (WIDTH, HEIGHT) * 2, strict=True))
            value = {"x": x, "y": y, "width": w, "height": h, "rotation": 0, "rectanglelabels": ["mouse"]}
            found.append(result(box, "rectanglelabels", value))
        for part, (x, y, v) in list(zip(NAMES, animal.points, strict=True))[::-1]:
            if not v:
                continue
            value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.5, "keypointlabels": [part]}
            number = f"{animal.individual}-{part}"
            found.append(result(number, "keypointlabels", value, **({"parentID": box} if tie == "parentID" else {})))
            if tie == "relation":
                found.append({"type": "relation", "from_id": number, "to_id": box, "direction": "right"})
    return found


def task(number, name, address, results):
    other = [{"id": 1, "was_cancelled": True, "result": [result("x", "keypointlabels", {"x": 1, "y": 1})]}]
    return {"id": number, "data": {"image": address.format(name)}, "annotations": [*other, {"result": results}]}


def write_export(root, address="/data/local-files/?d=frames/{}", config=True, **how):
    write_pictures(root / "frames")
    tasks = [task(n, name, address, results_of(name, **how)) for n, name in enumerate(PICTURES)]
    if config:
        labels = "".join(f'<Label value="{name}"/>' for name in NAMES)
        (root / "config.xml").write_text(CONFIG.format(labels))
    dump(root / "project-1-at-2024.json", tasks)
    return root


VARIANTS = {
    "parentID": {},
    "relations": {"tie": "relation"},
    "points that lie in one rectangle": {"tie": "none"},
    "picture on a server": {"address": "https://labels.example.org/frames/{}"},
    "cloud storage": {"address": "s3://bucket/frames/{}"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_labels_come_back(tmp_path, variant):
    project = read_project(write_export(tmp_path / "p", **VARIANTS[variant]))
    assert project.format == "Label Studio" and {item.category for item in project.instances} == {"mouse"}
    written = write_coco(project, tmp_path / "out")
    matches(json.loads(written.annotations["all"].read_text()), written.images, boxes=True)


def test_uploaded_pictures_have_letters_before_their_names(tmp_path):
    root = tmp_path / "p"
    write_pictures(root, ["a.png", "b.png"])
    rows = results_of(PICTURES[0])
    tasks = [task(1, "", "/data/upload/3/0a1b2c3d-a.png", rows), task(2, "", "/data/upload/3/b.png", rows)]
    file = dump(root / "export.json", tasks)
    assert [picture.name for picture in read_project(file).pictures] == ["a.png", "b.png"]


PERCENT = {
    "/data/local-files/?d=images/a%20b.png": "images/a b.png",
    "/data/local-files/?d=images/a b.png": "images/a b.png",
    "/data/local-files/?d=images/%C3%BCber.png": "images/über.png",
    "/data/local-files/?d=on/the/server/images/a%20b.png": "images/a b.png",
    "http://localhost:8080/data/local-files/?d=images/a%20b.png": "images/a b.png",
    "https://labels.example.org/data/local-files/?d=images/50%25.png": "images/50%.png",
    "/data/upload/1/0a1b2c3d-a%20b.png": "images/a b.png",
    "http://localhost:8080/data/upload/1/0a1b2c3d-a%20b.png": "images/a b.png",
    "/data/upload/1/0a1b2c3d-%C3%BCber.png": "images/über.png",
    "https://example.org/images/a%20b.png?width=3": "images/a b.png",
    "https://example.org/images/50%25.png": "images/50%.png",
    "https://example.org/images/c%20d.png": "images/c%20d.png",
    "s3://bucket/images/%C3%BCber.png": "images/über.png",
    "/data/local-files/?d=images/c%20d.png": "images/c%20d.png",
    "/data/local-files/?d=images/c%2520d.png": "images/c%20d.png",
    "/data/local-files/?d=images/50%.png": "images/50%.png",
}


@pytest.mark.parametrize("address", PERCENT)
def test_names_with_percent_signs(tmp_path, address):
    write_pictures(tmp_path, sorted({*PERCENT.values(), "images/other.png"}))
    file = dump(tmp_path / "e.json", [task(1, "", address, results_of(PICTURES[0]))])
    (picture,) = read_project(file).pictures
    assert picture.name == PERCENT[address]


def test_a_name_that_is_a_picture_both_ways(tmp_path):
    write_pictures(tmp_path, ["images/a%20b.png", "images/a b.png", "images/c d.png", "images/e%20f.png"])
    place, rows = "/data/local-files/?d=images/", results_of(PICTURES[0])

    def read(*names):
        file = dump(tmp_path / "e.json", [task(n, "", place + name, rows) for n, name in enumerate(names)])
        project = read_project(file)
        told = [note for note in project.notes if "could be two pictures" in note]
        return [picture.name for picture in project.pictures], told

    names, told = read("a%20b.png")
    assert names == ["images/a%20b.png"] and "read as they stand" in told[0]
    names, told = read("a%20b.png", "c%20d.png")  # the second one shows how this export is written
    assert names == ["images/a b.png", "images/c d.png"] and "decoded, as those of the others" in told[0]
    names, told = read("a%20b.png", "e%20f.png")
    assert names == ["images/a%20b.png", "images/e%20f.png"] and told
    names, told = read("a%20b.png", "c%20d.png", "e%20f.png")
    assert names == ["images/a%20b.png", "images/c d.png", "images/e%20f.png"] and told
    assert read("c%20d.png") == (["images/c d.png"], [])


def test_a_decoded_name_does_not_take_the_picture_of_another_task(tmp_path):
    write_pictures(tmp_path, ["images/a b.png"])  # a%20b.png was deleted
    place, rows = "/data/local-files/?d=images/", results_of(PICTURES[0])
    for names in (("a%20b.png", "a b.png"), ("a b.png", "a%20b.png")):
        file = dump(tmp_path / "e.json", [task(n, "", place + name, rows) for n, name in enumerate(names)])
        with pytest.raises(DataError, match="a picture for each"):
            read_project(file)
    same = [place + "a%20b.png", "http://localhost:8080" + place + "a%20b.png"]
    file = dump(tmp_path / "e.json", [task(n, "", name, rows) for n, name in enumerate(same)])
    assert len(read_project(file).pictures) == 1


def test_order_without_the_labelling_interface_is_that_of_appearance(tmp_path):
    project = read_project(write_export(tmp_path / "p", config=False))
    assert project.keypoints == NAMES[::-1]  # as the sample writes them
    assert any("first appear" in note for note in project.notes)


def test_one_animal_needs_no_rectangle(tmp_path):
    write_pictures(tmp_path, PICTURES[:1])
    file = dump(tmp_path / "e.json", [task(1, PICTURES[0], "{}", results_of(PICTURES[0], "none", rectangles=False))])
    (only,) = read_project(file).instances
    assert only.box is None and (only.visibility > 0).sum() == 4


def test_two_animals_without_rectangles_are_not_merged(tmp_path):
    write_pictures(tmp_path, PICTURES[1:2])
    file = dump(tmp_path / "e.json", [task(1, PICTURES[1], "{}", results_of(PICTURES[1], "none", rectangles=False))])
    with pytest.raises(DataError, match="twice in one instance"):
        read_project(file)


def test_points_in_no_rectangle_are_left_out_and_counted(tmp_path):
    write_pictures(tmp_path, PICTURES[1:2])
    rows = results_of(PICTURES[1], "none")
    rows.append(result("far", "keypointlabels", {"x": 99, "y": 1, "keypointlabels": ["snout"]}))
    project = read_project(dump(tmp_path / "e.json", [task(1, PICTURES[1], "{}", rows)]))
    assert len(project.instances) == 2
    assert any(note.startswith("1 point in no rectangle") for note in project.notes)


def test_turned_rectangle(tmp_path):
    write_pictures(tmp_path, PICTURES[:1])
    rows = results_of(PICTURES[0])
    rows[0]["value"] |= {"x": 50, "y": 25, "width": 100 * 20 / WIDTH, "height": 100 * 10 / HEIGHT, "rotation": 90}
    (only,) = read_project(dump(tmp_path / "e.json", [task(1, PICTURES[0], "{}", rows)])).instances
    np.testing.assert_allclose(only.box, (38, 16, 10, 20), atol=1e-6)  # turned about its corner (48, 16)


def test_short_export_is_named(tmp_path):
    rows = [{"image": "a.png", "kp": [{"x": 1, "y": 2, "keypointlabels": ["snout"]}], "id": 1}]
    dump(tmp_path / "e.json", rows)
    with pytest.raises(DataError, match="JSON-MIN"):
        read_project(tmp_path)
