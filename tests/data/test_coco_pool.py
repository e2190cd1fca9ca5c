"""COCO files as pictures without labels: odd ids, faulty values, boxes that cannot be used; each is said."""

import json

import pytest
from PIL import Image

from lvtune.core.errors import DataError
from lvtune.data.skeletons import COCO_17
from lvtune.data.unlabelled import read_unlabelled

BOX = [4, 4, 20, 15]


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        Image.new("RGB", (40, 30), (10 * number, 80, 80)).save(tmp_path / name)
    return tmp_path


def write(folder, ids=(1, 2, 3), annotations=(), **changes):
    images = [{"id": one, "file_name": name} for one, name in zip(ids, ("a.png", "b.png", "c.png"), strict=False)]
    values = {"images": images, "annotations": annotations} | changes
    (folder / "pool.json").write_text(json.dumps(values))
    return folder / "pool.json"


def read(folder, *args, **changes):
    table = read_unlabelled(write(folder, *args, **changes), COCO_17)
    found = {}
    for row, box in enumerate(table.column("bbox").tolist()):
        found.setdefault(table.image_path(row).name, []).append(box)
    return found, table.notes[1:]


def box(image, given=BOX, **more):
    return {"image_id": image, "bbox": given, **more}


@pytest.mark.parametrize(("ids", "image"), [(("1", "2", "3"), 2), ((1, 2, 3), "2"), ((1.0, 2.0, 3.0), 2)])
def test_ids_as_text_and_as_numbers_are_the_same(folder, ids, image):
    found, notes = read(folder, ids, [box(image)])
    assert found == {"a.png": [[0, 0, 40, 30]], "b.png": [BOX], "c.png": [[0, 0, 40, 30]]} and notes == []


@pytest.mark.parametrize(
    ("ids", "said"), [((None, 2, 3), r"a\.png of .*pool\.json without an `id`"), ((1, 2, "2"), "id 2 twice in .*pool")]
)
def test_ids_that_fit_no_picture_or_two_are_refused_beside_annotations_alone(folder, ids, said):
    with pytest.raises(DataError, match=said):
        read(folder, ids, [box(2)])
    found, notes = read(folder, ids)
    assert set(found) == {"a.png", "b.png", "c.png"} and notes == []


def test_annotations_of_no_picture_are_counted(folder):
    found, notes = read(folder, annotations=[box(1), box(8), box(None), {"bbox": BOX}])
    assert found["a.png"] == [BOX] and notes == ["3 annotations whose `image_id` is the `id` of no picture: left out"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": [{"id": [1], "file_name": "a.png"}]}, r"`id` of image a\.png in .*\[1\]"),
        ({"images": [{"id": True, "file_name": "a.png"}]}, "`id` of image"),
        ({"images": []}, "`images` are empty"),
        ({"images": {"a": 1}}, "without a list `images`"),
        ({"images": [{"id": 1, "file_name": 5}]}, "entry 0 of `images`"),
        ({"images": [{"id": 1, "file_name": ["a.png"]}]}, "entry 0 of `images`"),
        ({"images": ["a.png"]}, "entry 0 of `images`"),
        ({"annotations": 5}, "`annotations` of .*: 5"),
        ({"annotations": {"1": []}}, r"`annotations` of .*: \{'1'"),
        ({"annotations": [5]}, "entry 0 of `annotations`"),
        ({"annotations": [{"image_id": [1], "bbox": BOX}]}, "`image_id` of annotation 0"),
        ({"annotations": [{"image_id": 10**30, "bbox": BOX}]}, "`image_id` of annotation 0"),
    ],
)
def test_values_that_cannot_be_are_told(folder, changes, said):
    with pytest.raises(DataError, match=said):
        read(folder, **changes)


def test_a_file_without_annotations_gives_whole_pictures(folder):
    assert read(folder, annotations=[])[0] == read(folder, annotations=None)[0]
    assert len(read(folder, annotations=[{"image_id": 1, "keypoints": [1, 1, 2]}])[0]) == 3


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (box(1, iscrowd=1), "1 annotation of a crowd (`iscrowd`): left out"),
        (box(1, [4, 4, 0, 5]), "1 annotation with a faulty box (no four numbers, or no area): left out"),
        (box(1, [4, 4, 5]), "1 annotation with a faulty box (no four numbers, or no area): left out"),
        (box(1, [90, 4, 20, 15]), "1 box outside of its picture: left out"),
        (box(1, [-30, 4, 20, 15]), "1 box outside of its picture: left out"),
    ],
)
def test_a_picture_whose_boxes_cannot_be_used_is_left_out(folder, one, said):
    found, notes = read(folder, annotations=[one, box(2)])
    assert set(found) == {"b.png", "c.png"} and said in notes
    assert any(note.startswith("1 picture left out") and "a.png" in note for note in notes)
    found, notes = read(folder, annotations=[one, box(1), box(2)])
    assert found["a.png"] == [BOX] and said in notes and not any("1 picture left out" in note for note in notes)
    with pytest.raises(DataError, match="left out"):
        read(folder, images=[{"id": 1, "file_name": "a.png"}], annotations=[one])


def test_boxes_that_reach_out_of_their_pictures_are_cut_and_counted(folder):
    given = [box(1, [-5, 4, 20, 15]), box(1, [30, 4, 20, 15]), box(2, [20, 4, 20.5, 15])]
    found, notes = read(folder, annotations=given)
    assert found["a.png"] == [[0, 4, 15, 15], [30, 4, 10, 15]] and found["b.png"] == [[20, 4, 20, 15]]
    assert notes == ["2 boxes reach out of their pictures: cut at their edges"]


def test_pictures_that_are_found_by_their_base_name_are_said(folder):
    names = ("A.PNG", "C:\\data\\b.png", "elsewhere/c.png")
    found, notes = read(folder, images=[{"id": i, "file_name": name} for i, name in enumerate(names)])
    assert set(found) == {"a.png", "b.png", "c.png"}
    assert [note[:18] for note in notes] == ["1 of 3 file names ", "2 of 3 file names "]


def test_notes_on_the_boxes_stay(folder):
    _, notes = read(folder, annotations=[box(1, [0.1, 0.1, 0.5, 0.5]), box(2, [0, 0, 1, 1]), box(3, [0, 0, 0.9, 1])])
    assert any("3 boxes are relative to the picture" in note for note in notes)


def test_links_out_of_the_folder_say_what_to_give(folder):
    (folder / "set" / "deep").mkdir(parents=True)  # a.png itself lies in neither of the two that are looked into
    (folder / "set" / "a.png").symlink_to(folder / "a.png")
    with pytest.raises(DataError, match=r"link out of .*give the folder of the pictures"):
        read_unlabelled(write(folder / "set" / "deep", (1,)), COCO_17)
    assert len(read_unlabelled(folder / "set", COCO_17)) == 1
