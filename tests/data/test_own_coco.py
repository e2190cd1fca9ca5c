"""COCO-style files as scripts and tools write them: read rightly, and every decision told."""

from __future__ import annotations

import numpy as np
import pytest
from own_files import NAMES, draw_pictures, sound, write

from lvtune.core.errors import DataError
from lvtune.data.table import read_coco


def read(data, folder, **options):
    return read_coco(write(data, folder), folder, cache_dir=folder / "cache", **options)


def boxes(table):
    return table.column("bbox").copy()


def told(table, *words):
    return any(all(word in note for word in words) for note in table.notes)


@pytest.fixture
def plain(tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    return read(sound(), folder)


def change(data, edit):
    for item in data["annotations"]:
        edit(item)
    return data


def as_corners(item):
    x, y, w, h = item["bbox"]
    item["bbox"] = [x, y, x + w, y + h]


def without(*fields):
    def edit(item):
        for field in fields:
            item.pop(field, None)

    return edit


def test_a_sound_file_needs_no_word(plain):
    assert len(plain) == 12 and plain.notes == []
    assert np.allclose(boxes(plain)[0], sound()["annotations"][0]["bbox"])


@pytest.mark.parametrize("size", [(320, 240), (1920, 1080), (200, 640)])
@pytest.mark.parametrize("area", [True, False])
@pytest.mark.parametrize("count", [2, 6])
def test_corners_are_read_as_corners(tmp_path, size, area, count):
    data = sound(count, size=size)
    want = np.array([item["bbox"] for item in data["annotations"]])
    change(data, as_corners)
    if not area:
        change(data, without("area"))
    table = read(data, tmp_path)
    assert np.allclose(boxes(table), want, atol=0.02)
    assert told(table, "read as corners", "--annotated-box-format")


@pytest.mark.parametrize("count", [1, 2, 6])
def test_sizes_stay_sizes(tmp_path, count):
    data = sound(count)
    assert np.allclose(boxes(read(data, tmp_path)), [item["bbox"] for item in data["annotations"]])


def test_boxes_of_whole_pictures_stay_sizes(tmp_path):
    data = change(sound(), lambda item: item.update(bbox=[0, 0, 320, 240], area=320 * 240))
    table = read(data, tmp_path)
    assert (boxes(table) == [0, 0, 320, 240]).all() and table.notes == []


def test_the_form_may_be_said(tmp_path):
    data = change(sound(), as_corners)
    assert told(read(data, tmp_path, box_format="xyxy"), "as asked for")
    assert not np.allclose(boxes(read(data, tmp_path, box_format="xywh")), boxes(read(data, tmp_path)))


def relative(item, size=(320, 240), *, box=True, points=True):
    w, h = size
    if box:
        item["bbox"] = [item["bbox"][0] / w, item["bbox"][1] / h, item["bbox"][2] / w, item["bbox"][3] / h]
        item.pop("area", None)
    if points:
        item["keypoints"] = (np.reshape(item["keypoints"], (-1, 3)) / [w, h, 1]).reshape(-1).tolist()


def centred(item):
    x, y, w, h = item["bbox"]
    item["bbox"] = [x + w / 2, y + h / 2, w, h]


@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)], ids=["all", "boxes", "points"])
@pytest.mark.parametrize("form", ["sizes", "corners", "centres"])
def test_relative_coordinates_are_scaled(tmp_path, plain, parts, form):
    data = sound()
    if form != "sizes" and not parts[0]:
        pytest.skip("the form of boxes that are pixels is tested above")
    if form != "sizes":
        change(data, as_corners if form == "corners" else centred)
    change(data, lambda item: relative(item, box=parts[0], points=parts[1]))
    table = read(data, tmp_path)
    assert np.allclose(boxes(table), boxes(plain), atol=0.05)
    assert np.allclose(table.column("keypoints"), plain.column("keypoints"), atol=0.05)
    assert told(table, "relative to the picture")


@pytest.mark.parametrize(("place", "count"), [((-50, -20), 2), ((330.5, 10), 0), ((5, 400), 2)])
def test_points_outside_of_the_picture_are_counted(tmp_path, place, count):
    data = sound(size=(330, 240))
    for item in data["annotations"][:2]:
        item["keypoints"][0:2] = place
    data["annotations"][3]["keypoints"][0:3] = (-50, -20, 0)  # not labelled: x and y are not read
    table = read(data, tmp_path)
    total = sum(sum(v > 0 for v in item["keypoints"][2::3]) for item in data["annotations"])
    said = [note for note in table.notes if "outside of the picture" in note]
    assert len(said) == (count > 0)
    if count:
        assert f"{count} of {total} labelled key points lie outside of the picture, in 2 annotations" in said[0]
        assert "visibility 0" in said[0]


def test_points_outside_their_boxes_are_counted(tmp_path):
    data = sound()
    for item in data["annotations"][:3]:
        item["bbox"] = [item["bbox"][0], item["bbox"][1], 12, 12]
    table = read(data, tmp_path)
    assert told(table, "of 48 labelled key points lie outside their box, in 3 annotations", "annotation 1 of frame01")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda item: item.update(area=0), ("12 annotations with an impossible `area`",)),
        (lambda item: item.update(area=-5.0), ("`area`",)),
        (lambda item: item.update(area="big"), ("`area`", "big")),
        (lambda item: item.update(area=float("nan")), ("`area`",)),
        (lambda item: item.update(num_keypoints=0), ("12 annotations with an impossible `num_keypoints`",)),
        (lambda item: item.update(num_keypoints="many"), ("`num_keypoints`",)),
        (lambda item: item.update(num_keypoints=-1), ("`num_keypoints`",)),
        (lambda item: item.update(iscrowd="maybe"), ("`iscrowd`",)),
        (lambda item: item.update(iscrowd=7), ("`iscrowd`",)),
    ],
)
def test_values_that_cannot_be_count_as_missing(tmp_path, plain, edit, words):
    table = read(change(sound(), edit), tmp_path)
    assert len(table) == 12 and told(table, *words)
    assert np.allclose(table.column("area"), plain.column("area"), rtol=1e-3)


@pytest.mark.parametrize("field", ["num_keypoints", "iscrowd", "area"])
@pytest.mark.parametrize("value", [None, "absent"])
def test_null_and_absent_values_are_fine(tmp_path, field, value):
    edit = without(field) if value == "absent" else (lambda item: item.update({field: None}))
    table = read(change(sound(), edit), tmp_path)
    assert len(table) == 12 and (table.column("area") > 100).all()


@pytest.mark.parametrize(
    ("value", "kept"),
    [("0", 12), ("1", 0), (False, 12), (True, 0), ("false", 12), ("true", 0), (0.0, 12), (1.0, 0), (None, 12)],
)
def test_crowds_in_any_spelling(tmp_path, value, kept):
    data = sound()
    data["annotations"].append({**data["annotations"][0], "id": 99, "iscrowd": 0})
    for item in data["annotations"][:12]:
        item["iscrowd"] = value
    assert len(read(data, tmp_path)) == kept + 1


@pytest.mark.parametrize(
    ("seen", "want"), [(0.83, 2), (0.2, 2), (3, 2), (1, 1), (2.0, 2), (-1, 0), (0, 0), (0.0, 0), (None, 0)]
)
def test_any_visibility_above_0_is_labelled(tmp_path, seen, want):
    data = sound()
    data["annotations"][0]["keypoints"][2] = seen
    table = read(data, tmp_path)
    point = table[0].keypoints[0]
    assert point[2] == want and (want > 0 or (point == 0).all())
    assert told(table, "visibility other than 0, 1, 2") == (seen not in (0, 1, 2))


@pytest.mark.parametrize("place", [[None, None], [float("nan")] * 2, ["", ""], [-999, 5e9], [7, None]])
@pytest.mark.parametrize("seen", [0, -1, None])
def test_places_of_unlabelled_points_are_not_read(tmp_path, place, seen):
    data = sound()
    data["annotations"][0]["keypoints"][:3] = [*place, seen]
    table = read(data, tmp_path)
    assert (table[0].keypoints[0] == 0).all() and table[0].keypoints[1, 2] == 2


@pytest.mark.parametrize(
    ("links", "want", "word"),
    [
        ([[0, 1], [1, 2]], ((0, 1), (1, 2)), "count from 0"),
        ([[1, 2], [3, 40]], ((0, 1),), "1 of 2 links"),
        ([[1, 2], [-3, 2], "x"], ((0, 1),), "2 of 3 links"),
        ("1-2", (), "not a list of pairs"),
    ],
)
def test_links_do_not_stop_a_run(tmp_path, links, want, word):
    data = sound()
    data["categories"][0]["skeleton"] = links
    table = read(data, tmp_path)
    assert table.skeleton.links == want and told(table, word)


def only(points):
    """The key points at these places, the others unlabelled."""

    def edit(item):
        flat = item["keypoints"]
        for k in range(len(NAMES)):
            if k not in points:
                flat[3 * k : 3 * k + 3] = [0, 0, 0]
        labelled = np.reshape(flat, (-1, 3))[list(points), :2]
        low, high = labelled.min(0), labelled.max(0)
        item.update(num_keypoints=len(points), bbox=[*low, *(high - low)], area=float((high - low).prod()))

    return edit


@pytest.mark.parametrize("points", [(0,), (3,), (1,)])
def test_persons_of_one_point_get_a_box_around_it(tmp_path, points):
    data = change(sound(), only(points))
    table = read(data, tmp_path)
    assert len(table) == 12 and told(table, "12 annotations with a box of no size", "made of their key points")
    x, y, w, h = boxes(table).T
    place = table.column("keypoints")[:, points[0]]
    assert (w >= 16).all() and (h >= 16).all()
    assert ((place[:, 0] > x) & (place[:, 0] < x + w) & (place[:, 1] > y) & (place[:, 1] < y + h)).all()
    assert (boxes(table)[:, :2] + boxes(table)[:, 2:] <= [320, 240]).all()


def test_points_on_one_line_get_a_box_too(tmp_path):
    data = sound()
    for k, item in enumerate(data["annotations"]):
        item["keypoints"] = [v for p in range(4) for v in (40 + 20 * p, 100 + k, 2)]
        item["bbox"] = [40, 100 + k, 60, 0]
    table = read(data, tmp_path)
    assert len(table) == 12 and (boxes(table)[:, 3] > 20).all() and (boxes(table)[:, 2] > 60).all()


@pytest.mark.parametrize("field", [("bbox",), ("bbox", "area"), ("bbox", "area", "iscrowd", "num_keypoints", "id")])
def test_boxes_that_are_missing_are_made_of_the_points(tmp_path, field):
    table = read(change(sound(), without(*field)), tmp_path)
    assert len(table) == 12 and told(table, "12 annotations without a box", "15% around (--box-margin)")
    corners = np.concatenate([boxes(table)[:, :2], boxes(table)[:, :2] + boxes(table)[:, 2:]], 1)
    points = table.column("keypoints")
    assert ((points[..., :2] >= corners[:, None, :2]) & (points[..., :2] <= corners[:, None, 2:])).all()
    wide = read(change(sound(), without(*field)), tmp_path, box_margin=0.5)
    assert boxes(wide)[:, 2:].prod(1).mean() > boxes(table)[:, 2:].prod(1).mean()


@pytest.mark.parametrize("value", [[], [1, 2, 3], "none", [1, 2, None, 4], {"x": 1}, [1, 2, 3, "w"]])
def test_boxes_that_cannot_be_are_made_of_the_points(tmp_path, value):
    data = sound()
    data["annotations"][0]["bbox"] = value
    table = read(data, tmp_path)
    assert len(table) == 12 and told(table, "1 annotation without a box")


def beside(data, labels=("body",)):
    """The layout of Label Studio's COCO export: rectangles of their own, boxes that span the points, no area."""
    ids = {label: 10 + i for i, label in enumerate(labels)}
    data["categories"] = [{"id": i, "name": label} for label, i in ids.items()] + data["categories"]
    rectangles = []
    for n, item in enumerate(data["annotations"]):
        rectangle = {"id": 100 + n, "image_id": item["image_id"], "category_id": ids[labels[n % len(labels)]],
                     "bbox": item["bbox"], "area": item["area"], "iscrowd": 0, "segmentation": []}  # fmt: skip
        rectangles.append(rectangle)
    for item in data["annotations"]:
        places = np.reshape(item["keypoints"], (-1, 3))[:, :2]
        low, high = places.min(0), places.max(0)
        item["bbox"] = [*low, *(high - low)]
        item.pop("area")
    data["annotations"] = rectangles + data["annotations"]
    return data


@pytest.mark.parametrize("labels", [("body",), ("mouse1", "mouse2"), ("Person", "Hund", "x")])
def test_rectangles_beside_the_points_are_the_boxes(tmp_path, plain, labels):
    table = read(beside(sound(), labels), tmp_path)
    assert np.allclose(boxes(table), boxes(plain), atol=0.02)
    assert told(table, "12 annotations take the rectangle")


def test_rectangles_are_the_boxes_of_persons_of_one_point_too(tmp_path, plain):
    data = beside(sound())
    for item in data["annotations"][12:]:
        item["keypoints"][3:] = [0] * 9
        item["bbox"] = [*item["keypoints"][:2], 0, 0]
    assert np.allclose(boxes(read(data, tmp_path)), boxes(plain), atol=0.02)


def test_boxes_of_other_things_are_no_rectangles_of_persons(tmp_path, plain):
    data = sound()
    data["categories"].append({"id": 7, "name": "bench"})
    data["annotations"].append({"id": 99, "image_id": 1, "category_id": 7, "bbox": [0, 0, 320, 240], "iscrowd": 0})
    table = read(data, tmp_path)
    assert np.allclose(boxes(table), boxes(plain)) and table.notes == []


@pytest.mark.parametrize("factor", [0.5, 2, 1.25])
def test_pictures_that_were_resized_are_scaled(tmp_path, plain, factor):
    data = sound()
    draw_pictures(data, tmp_path, (round(320 * factor), round(240 * factor)))
    table = read(data, tmp_path)
    assert np.allclose(boxes(table), boxes(plain) * factor, atol=0.02)
    assert np.allclose(table.column("keypoints")[..., :2], plain.column("keypoints")[..., :2] * factor)
    assert np.allclose(table.column("area"), plain.column("area") * factor**2)
    assert (table[0].width, table[0].height) == (round(320 * factor), round(240 * factor))
    assert told(table, "6 of 6 pictures are larger or smaller", "are scaled")
    assert table.fingerprint != plain.fingerprint


@pytest.mark.parametrize("size", [(240, 320), (320, 200), (300, 240)])
def test_pictures_of_another_shape_are_not_scaled(tmp_path, plain, size):
    data = sound()
    draw_pictures(data, tmp_path, size)
    table = read(data, tmp_path)
    assert np.allclose(boxes(table), boxes(plain)) and table[0].width == 320


def test_pictures_that_change_are_looked_at_again(tmp_path, plain):
    data = sound()
    draw_pictures(data, tmp_path)
    assert np.allclose(boxes(read(data, tmp_path)), boxes(plain))
    draw_pictures(data, tmp_path, (640, 480))
    assert np.allclose(boxes(read(data, tmp_path)), boxes(plain) * 2)


@pytest.mark.parametrize("field", [("width",), ("height",), ("width", "height")])
@pytest.mark.parametrize("value", [None, 0, "absent"])
def test_sizes_are_read_from_the_pictures(tmp_path, plain, field, value):
    data = sound()
    draw_pictures(data, tmp_path)
    for image in data["images"]:
        for name in field:
            image[name] = value
            if value == "absent":
                del image[name]
    table = read(data, tmp_path)
    assert told(table, "6 of 6 images without width and height: read from the pictures")
    assert (table[0].width, table[0].height) == (320, 240) and np.allclose(boxes(table), boxes(plain))


def test_neither_size_nor_picture_is_an_error_that_names_it(tmp_path):
    data = sound()
    del data["images"][2]["width"]
    with pytest.raises(DataError, match=r"without `width`.*frame03"):
        read(data, tmp_path)


def test_only_names_ids_and_points_are_needed(tmp_path):
    data = sound()
    draw_pictures(data, tmp_path)
    least = {
        "images": [{"id": i["id"], "file_name": i["file_name"]} for i in data["images"]],
        "annotations": [{k: a[k] for k in ("image_id", "keypoints")} for a in data["annotations"]],
        "categories": [{"id": 1, "keypoints": NAMES}],
    }
    table = read(least, tmp_path)
    assert len(table) == 12 and (boxes(table)[:, 2:] > 0).all()


@pytest.mark.parametrize("value", [1e30, -4e6, 7000.0])
def test_points_far_outside_are_an_error_that_names_samples(tmp_path, value):
    data = sound()
    data["annotations"][3]["keypoints"][1] = value
    with pytest.raises(DataError, match=r"1 annotation of .* far outside their picture.*annotation 4 of frame02\.png"):
        read(data, tmp_path)


def test_published_files_are_read_as_they_are(tmp_path):
    data = change(sound(), as_corners)
    data["annotations"][0]["area"] = 0
    table = read(data, tmp_path, published=True)
    assert table[0].area == 0 and table.notes == []
    assert boxes(table)[0, 2] == min(320, sum(data["annotations"][0]["bbox"][::2])) - data["annotations"][0]["bbox"][0]
