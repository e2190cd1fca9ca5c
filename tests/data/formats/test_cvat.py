import json
from xml.sax.saxutils import escape

import pytest
from label_samples import HEIGHT, LINKS, NAMES, PICTURES, WIDTH, animals, dump, matches, write_pictures

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.data.formats.coco_writer import write_coco

NODES = "".join(
    f'<circle r="1.5" cx="1" cy="1" data-type="element node" data-element-id="{n}" data-node-id="{n}" '
    f'data-label-name="{name}"></circle>'
    for n, name in enumerate(NAMES, start=1)
)
LINES = "".join(f'<line data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}"></line>' for a, b in LINKS)
SUBLABELS = "".join(
    f"<label><name>{name}</name><type>points</type><attributes></attributes><parent>mouse</parent></label>"
    for name in NAMES
)
META = (
    "<meta><task><labels><label><name>mouse</name><type>skeleton</type><attributes></attributes>"
    f"<svg>{escape(LINES + NODES)}</svg></label>{SUBLABELS}</labels></task></meta>"
)


def point(label, x, y, v, group=""):
    hidden, away = int(v == 1), int(v == 0)
    # a point outside carries numbers all the same
    return f'<points label="{label}" occluded="{hidden}" outside="{away}" points="{x or 5:.2f},{y or 6:.2f}"{group}/>'


def skeleton(animal, number):
    inside = [point(name, *row) for name, row in zip(NAMES, animal.points, strict=True)][::-1]
    x, y, w, h = animal.box
    corners = f'xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}"'
    return (
        f'<skeleton label="mouse" source="manual" z_order="0" group_id="{number}">{"".join(inside)}</skeleton>'
        f'<box label="mouse" occluded="0" {corners} group_id="{number}"/>'
    )


def loose(animal, number):
    group = f' group_id="{number}"'
    return "".join(point(n, *row, group) for n, row in zip(NAMES, animal.points, strict=True) if row[2])


def write_xml(root, draw=skeleton, meta=META, folder="images", subset=""):
    write_pictures(root / folder)
    images = []
    for n, name in enumerate(PICTURES):
        mine = [draw(animal, k + 1) for k, animal in enumerate(a for a in animals() if a.picture == name)]
        head = f'<image id="{n}" name="{name}" {subset} width="{WIDTH}" height="{HEIGHT}">'
        images.append(f"{head}{''.join(mine)}</image>")
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}{"".join(images)}'
    (root / "annotations.xml").write_text(f"{text}</annotations>", encoding="utf-8")
    return root


VARIANTS = {"images": {}, "beside": {"folder": "."}, "subset": {"folder": "images/Train", "subset": 'subset="Train"'}}


@pytest.mark.parametrize("variant", VARIANTS)
def test_skeletons_come_back(tmp_path, variant):
    project = read_project(write_xml(tmp_path / "p", **VARIANTS[variant]))
    assert (project.format, project.links) == ("CVAT", LINKS)
    written = write_coco(project, tmp_path / "out")
    content = json.loads(written.annotations["all"].read_text())
    assert len(content["annotations"]) == len(animals())
    matches(content, written.images, boxes=True, visibility=True)


def test_occluded_points_are_labelled(tmp_path):
    root = write_xml(tmp_path / "p")
    file = root / "annotations.xml"
    file.write_text(file.read_text().replace('label="snout" occluded="0"', 'label="snout" occluded="1"'))
    assert {item.visibility[0] for item in read_project(root).instances} == {1}


def test_points_that_are_no_skeleton_go_by_their_group(tmp_path):
    labels = "".join(f"<label><name>{name}</name><type>points</type></label>" for name in NAMES)
    meta = f"<meta><job><labels>{labels}</labels></job></meta>"
    project = read_project(write_xml(tmp_path / "p", loose, meta))
    written = write_coco(project, tmp_path / "out")
    content = json.loads(written.annotations["all"].read_text())
    assert len(content["annotations"]) == len(animals())
    matches(content, written.images)


def test_coco_export_of_cvat(tmp_path):
    """Points that are outside have v = 0 and keep x and y; pictures lie in images/SUBSET."""
    root = tmp_path / "p"
    for part, names in (("train", PICTURES[:2]), ("validation", PICTURES[2:])):
        write_pictures(root / "images" / part, names)
        mine = [animal for animal in animals() if animal.picture in names]
        dump(root / "annotations" / f"person_keypoints_{part}.json", {
            "images": [{"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT} for n, name in enumerate(names)],
            "annotations": [
                {"id": n, "image_id": names.index(a.picture), "category_id": 1, "bbox": list(a.box), "iscrowd": 0,
                 "keypoints": [v for x, y, s in a.points for v in (x or 5, y or 6, s)]}
                for n, a in enumerate(mine)
            ],
            "categories": [{"id": 1, "name": "mouse", "keypoints": list(NAMES), "skeleton": [[1, 2], [1, 3], [1, 4]]}],
        })  # fmt: skip
    project = read_project(root)
    assert (project.format, project.links) == ("COCO", LINKS)
    assert {part: len(places) for part, places in project.splits.items()} == {"train": 2, "val": 2}
    written = write_coco(project, tmp_path / "out")
    content = json.loads(written.annotations["train"].read_text())
    assert len(content["annotations"]) == 3
    third = np_points(content["annotations"][1])[2]
    assert third == [0, 0, 0]


def np_points(item):
    return [item["keypoints"][n : n + 3] for n in range(0, len(item["keypoints"]), 3)]


def test_export_for_video_is_named(tmp_path):
    (tmp_path / "annotations.xml").write_text('<annotations><version>1.1</version><track id="0"/></annotations>')
    with pytest.raises(DataError, match=r"for images 1\.1"):
        read_project(tmp_path)


@pytest.mark.parametrize("bomb", ['<!ENTITY a "aaa">', '<!ENTITY a SYSTEM "file:///etc/passwd">'])
def test_document_types_are_refused(tmp_path, bomb):
    root = write_xml(tmp_path / "p")
    file = root / "annotations.xml"
    text = file.read_text().replace("<annotations>", f"<!DOCTYPE annotations [{bomb}]><annotations>", 1)
    file.write_text(text.replace('label="snout"', 'label="&a;"'))
    from lvtune.data.formats.safe_xml import parse_xml

    with pytest.raises(DataError, match="DOCTYPE"):
        parse_xml(file)
