"""Reading COCO-style files into the table."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import COCO_17, HUMANART_21, Skeleton
from lvtune.data.table import read_coco

SAMPLES = Path(__file__).parents[1] / "samples"
COCO = SAMPLES / "coco/annotations/person_keypoints_val2017.json"
COCO_IMAGES = SAMPLES / "coco/val2017"
HUMANART = SAMPLES / "HumanArt/annotations/validation_humanart.json"


def read(path, images, cache, **options):
    return read_coco(path, images, cache_dir=cache, **options)


@pytest.fixture
def coco(tmp_path):
    return read(COCO, COCO_IMAGES, tmp_path)


@pytest.fixture
def art(tmp_path):
    return read(HUMANART, SAMPLES, tmp_path)


def test_coco_persons(coco):
    assert (len(coco), coco.skeleton) == (12, COCO_17)
    person = coco[0]
    assert (person.image, person.image_id, person.annotation_id) == ("000000000785.jpg", 785, 442619)
    assert (person.width, person.height, person.score, person.category) == (640, 425, 1.0, "")
    assert person.bbox.tolist() == pytest.approx([280.79, 44.73, 218.7, 346.68], abs=1e-12)
    assert person.area == 27789.11055
    assert person.keypoints[0].tolist() == [367, 81, 2]
    assert coco.image_path(0) == COCO_IMAGES / "000000000785.jpg"
    assert coco.notes == ["2 of 14 annotations are crowds, or have no key points: ignored"]


def test_humanart_layout_categories_and_visibility(art):
    assert [p.category for p in art] == ["digital_art", "garage_kits", "acrobatics", "acrobatics"]
    assert art.image_path(1) == SAMPLES / "HumanArt/images/3D_virtual_human/garage_kits/000000005603.jpg"
    assert art.image_path(1).is_file()
    assert art.skeleton is not None and art.skeleton == COCO_17
    assert set(np.unique(art.column("keypoints")[..., 2])) == {0, 2}
    assert "first 17 of the category's 21" in art.notes[0]


def test_humanart_21_key_points(tmp_path):
    table = read(HUMANART, SAMPLES, tmp_path, keypoints_field="keypoints_21")
    assert table.skeleton.keypoints == HUMANART_21.keypoints
    assert table[0].keypoints.shape == (21, 3)
    assert table[0].keypoints[17].tolist() == [711.6695, 1391.3213, 2]


def test_category_is_the_domains_to_say(tmp_path):
    table = read(HUMANART, SAMPLES, tmp_path, category_of=lambda image: image["file_name"].split("/")[2])
    assert table[0].category == "2D_virtual_human"


def test_key_points_are_found_by_name(tmp_path):
    names = ("right_wrist", "nose")
    wanted = Skeleton("two-2", names, (0.1, 0.1))
    table = read(COCO, COCO_IMAGES, tmp_path, skeleton=wanted)
    assert table[0].keypoints.tolist() == [[309, 178, 2], [367, 81, 2]]


def test_rows_are_copies_and_columns_read_only_views(coco):
    coco[0].keypoints[:] = 7
    coco[0].bbox[:] = 7
    assert coco[0].keypoints[0, 0] == 367
    column = coco.column("keypoints")
    assert column.shape == (12, 17, 3) and not column.flags.writeable
    assert not column.flags.owndata  # the mapped file itself
    assert coco.column("bbox").dtype == np.float64
    assert coco.column("image")[0] == "000000000785.jpg"
    with pytest.raises(LvtuneError, match="column 'boxes'"):
        coco.column("boxes")


def test_indexing(coco):
    assert coco[-1].annotation_id == coco[11].annotation_id
    assert [p.index for p in coco] == list(range(12))
    with pytest.raises(IndexError):
        coco[12]


def test_a_row_takes_microseconds(coco):
    start = time.perf_counter()
    for _ in range(50):
        for i in range(len(coco)):
            coco[i]
    assert (time.perf_counter() - start) / 600 < 50e-6  # measured: 3 µs; slack for a busy machine


def test_selection(coco):
    two = coco.select([5, 1])
    assert [p.annotation_id for p in two] == [coco[5].annotation_id, coco[1].annotation_id]
    assert two.fingerprint not in (coco.fingerprint, coco.select([1, 5]).fingerprint)
    assert two.fingerprint == coco.select(np.array([5, 1])).fingerprint
    assert two.select([1])[0].annotation_id == coco[1].annotation_id
    with pytest.raises(LvtuneError, match="below 12"):
        coco.select([12])


def test_ground_truth_is_the_file_again(coco):
    original = json.loads(COCO.read_text())
    truth = coco.coco_ground_truth()
    assert {i["id"] for i in truth["images"]} == {i["id"] for i in original["images"]}
    assert truth["categories"][0]["keypoints"] == original["categories"][0]["keypoints"]
    assert truth["categories"][0]["skeleton"] == original["categories"][0]["skeleton"]
    fields = ("image_id", "keypoints", "num_keypoints", "iscrowd", "area")
    key = str
    assert sorted(([a[f] for f in fields] for a in truth["annotations"]), key=key) == sorted(
        ([a[f] for f in fields] for a in original["annotations"]), key=key
    )


def test_ground_truth_of_a_selection_passes_over_the_others(coco):
    one = coco.select([4])
    truth = one.coco_ground_truth()
    counted = [a for a in truth["annotations"] if not a["iscrowd"] and a["num_keypoints"]]
    assert [i["id"] for i in truth["images"]] == [coco[4].image_id]
    assert len(truth["annotations"]) > 1
    assert [a["keypoints"] for a in counted] == [coco[4].keypoints.reshape(-1).tolist()]


def test_images_without_annotations_stay_in_the_ground_truth(tmp_path):
    data = json.loads(COCO.read_text())
    data["images"].append({"id": 5, "file_name": "empty.jpg", "width": 10, "height": 10})
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    table = read(path, COCO_IMAGES, tmp_path)
    assert len(table) == 12
    assert 5 in {i["id"] for i in table.coco_ground_truth()["images"]}


def test_the_second_reading_comes_from_the_cache(tmp_path, monkeypatch):
    first = read(COCO, COCO_IMAGES, tmp_path)
    monkeypatch.setattr("lvtune.data.table.parse_coco", None)
    again = read(COCO, COCO_IMAGES, tmp_path)
    assert again.fingerprint == first.fingerprint
    assert (again.column("keypoints") == first.column("keypoints")).all()
    assert (again.notes, again.skeleton) == (first.notes, first.skeleton)


def test_default_cache_is_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path / "here"))
    read_coco(COCO, COCO_IMAGES)
    assert len(list((tmp_path / "here" / "tables").glob("*.arrow"))) == 1


def test_an_edited_file_is_read_anew(tmp_path):
    data = json.loads(COCO.read_text())
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    before = read(path, COCO_IMAGES, tmp_path)
    data["annotations"][0]["keypoints"][0] = 1.5
    path.write_text(json.dumps(data))
    after = read(path, COCO_IMAGES, tmp_path)
    assert before.fingerprint != after.fingerprint
    assert after[0].keypoints[0, 0] == 1.5 and before[0].keypoints[0, 0] == 367


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, capfd):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    table = read(COCO, COCO_IMAGES, blocked)
    assert len(table) == 12 and not table.column("keypoints").flags.writeable
    assert len(pickle.loads(pickle.dumps(table))) == 12
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("rest", [0, 100, 3000])
def test_a_damaged_cache_file_is_written_again(tmp_path, rest):
    read(COCO, COCO_IMAGES, tmp_path)
    (file,) = (tmp_path / "tables").glob("*.arrow")
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(whole[:rest])
    assert len(read(COCO, COCO_IMAGES, tmp_path)) == 12
    assert file.read_bytes() == whole


def test_worker_processes_map_the_file_rather_than_receive_it(coco):
    sent = pickle.dumps(coco.select(range(10)))
    assert len(sent) < 3000
    table = pickle.loads(sent)
    assert table[3].keypoints.tolist() == coco[3].keypoints.tolist()
    assert table.root == coco.root


def test_processes_may_read_at_the_same_time_and_in_silence(tmp_path):
    script = (
        "from lvtune.data.table import read_coco; import sys;"
        f"t = read_coco({str(COCO)!r}, {str(COCO_IMAGES)!r}, cache_dir={str(tmp_path)!r});"
        "assert len(t) == 12 and t[0].keypoints[0, 0] == 367;"
        "assert 'torch' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    running = [
        subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=-1, stderr=subprocess.STDOUT)
        for _ in range(3)
    ]
    said = [process.communicate()[0].decode() for process in running]
    assert (said, [p.returncode for p in running]) == (["", "", ""], [0, 0, 0])
    assert [f.suffix for f in (tmp_path / "tables").iterdir()] == [".arrow"]


def test_the_table_is_a_datasets_table(coco):
    row = coco.dataset[0]
    assert row["image"] == "000000000785.jpg" and len(row["keypoints"]) == 17 * 3
    assert len(coco.dataset) == 14
