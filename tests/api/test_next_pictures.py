"""``lvtune next``: the list, the sheet, and labels that come back."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import make_adapter, tiny_base
from videos import write_video

import lvtune
from lvtune.api import pool_pictures
from lvtune.api.next_pictures import choose_next
from lvtune.bases.base_registry import BASES
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.data.formats import read_project
from lvtune.data.unlabelled import table_of_boxes


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setitem(BASES._entries, "vitpose-tiny", lambda weights, revision=None, seed=0: tiny_base())
    generator = torch.Generator().manual_seed(0)
    for number in range(8):
        file = tmp_path / "pool" / ("a", "b")[number % 2] / f"{number // 2}.png"  # names occur twice
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(0, 255, (12, 9, 3), generator=generator, dtype=torch.uint8).numpy()
        Image.fromarray(pixels).resize((90, 120)).save(file)
    base = tiny_base()
    lvtune.save_adapter(make_adapter("lora", base, stirred=0.05), tmp_path / "adapter", base)
    return tmp_path


def test_list_sheet_and_prelabels_are_written(pool, capsys):
    words = ["next", str(pool / "pool"), "--adapter", str(pool / "adapter"), "-n", "3", "--out", str(pool / "out")]
    assert main([*words, "--base", "vitpose-tiny", "--device", "cpu", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    pictures = [row["picture"] for row in values["pictures"]]
    assert len(set(pictures)) == 3 and values["pool"] == 8
    assert json.loads((pool / "out" / "next.json").read_text())["pictures"] == values["pictures"]
    rows = list(csv.DictReader((pool / "out" / "next.csv").read_text().splitlines()))
    assert [row["picture"] for row in rows] == pictures and [row["rank"] for row in rows] == ["1", "2", "3"]
    with Image.open(pool / "out" / "next.jpg") as sheet:
        assert sheet.size[0] > 600
    found = {}
    for form in ("coco", "deeplabcut"):
        again = read_project(pool / "out" / form)
        assert len(again.pictures) == len(again.instances) == 3 and len(again.keypoints) == 17
        of = {again.pictures[item.picture].path.read_bytes(): item.keypoints for item in again.instances}
        assert set(of) == {Path(name).read_bytes() for name in pictures}
        assert all((points >= 0).all() and (points <= [89, 119]).all() for points in of.values())
        found[form] = [of[name] for name in sorted(of)]
    assert np.allclose(found["coco"], found["deeplabcut"], atol=0.01) and np.std(found["coco"]) > 1
    assert (pool / "out" / "label-studio" / "tasks.json").is_file() and not (pool / "out" / "sleap").exists()


def test_it_is_repeatable_and_what_is_labelled_is_left_out(pool):
    def run(out, **given):
        found = choose_next(
            pool / "pool", pool / "adapter", base=tiny_base(), count=5, out=pool / out, forms=(), **given
        )
        return [row["picture"] for row in found.pictures]

    first = run("one")
    assert first == run("two") and len(first) == 5
    labelled = run("three", labelled=pool / "pool" / "a")
    assert len(labelled) == 4 and all("/b/" in name for name in labelled)


def test_copies_of_labelled_pictures_are_left_out_too(pool):
    """A project has its pictures at other paths than the folder they came from."""
    shutil.copytree(pool / "pool" / "a", pool / "project")
    found = choose_next(
        pool / "pool", pool / "adapter", base=tiny_base(), count=5, out=pool / "out", forms=(),
        labelled=pool / "project",
    )  # fmt: skip
    assert len(found.pictures) == 4 and all("/b/" in row["picture"] for row in found.pictures)
    assert "4 copies of pictures that are labelled already left out" in found.notes
    with pytest.raises(LvtuneError, match="every picture is a copy"):
        choose_next(pool / "pool" / "a", pool / "adapter", base=tiny_base(), count=5, out=pool / "out-2", forms=(),
                    labelled=pool / "project")  # fmt: skip


def choose(pool, out="out", count=20, forms=(), **more):
    place = pool / out
    return choose_next(pool / "pool", pool / "adapter", base=tiny_base(), count=count, out=place, forms=forms, **more)


def test_equal_pictures_of_a_pool_are_listed_once(pool):
    for name in ("0", "1"):
        shutil.copy(pool / "pool" / "a" / f"{name}.png", pool / "pool" / "b" / f"copy-{name}.png")
    (pool / "pool" / "again").symlink_to(pool / "pool" / "a")
    found = choose(pool)
    contents = {Path(row["picture"]).read_bytes() for row in found.pictures}
    assert len(contents) == len(found.pictures) == found.pool == 8
    assert not any("copy" in row["picture"] for row in found.pictures)
    note = "2 pictures left out: the pool has the same contents under another name (such as copy-0.png)"
    assert found.notes.count(note) == 1


def test_a_pool_of_fewer_pictures_than_asked_for_says_so(pool, capsys):
    words = ["next", str(pool / "pool"), "--adapter", str(pool / "adapter"), "-n", "100", "--out", str(pool / "out")]
    assert main([*words, "--base", "vitpose-tiny", "--device", "cpu", "--prelabels", "none"]) == 0
    note = "100 pictures asked for, 8 to choose from: all are listed"
    assert capsys.readouterr().out.count(f"note: {note}") == 1
    values = json.loads((pool / "out" / "next.json").read_text())
    assert values["notes"].count(note) == 1 and len(values["pictures"]) == 8
    assert not any("asked for" in text for text in choose(pool, "out-2", count=8).notes)


def test_an_earlier_list_is_not_written_over(pool):
    choose(pool, count=2, forms=("coco",))
    before = {file.name: file.read_bytes() for file in (pool / "out").iterdir() if file.is_file()}
    for name in ("next.json", "next.csv", "next.jpg"):
        with pytest.raises(LvtuneError, match=r"has next\.\w+ of an earlier round.*--out .*out-2"):
            choose(pool, count=3)
        assert {file.name: file.read_bytes() for file in (pool / "out").iterdir() if file.is_file()} == before
        (pool / "out" / name).unlink()
        before.pop(name)
    choose(pool, count=3)


def test_no_output_lies_inside_the_pool(pool):
    for out in ("pool/next", "pool/a/deep/next"):
        with pytest.raises(LvtuneError, match=r"inside the pool .*--out .*pool-next"):
            choose(pool, out)
        assert not (pool / out).exists()


LABEL_STUDIO = [{"data": {"image": "a.png"}, "annotations": []}]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("CollectedData_me.csv", "scorer,me", "neither"), ("config.yaml", "Task: x", "neither"),
     ("labels.slp", "x", "neither"), ("export.json", json.dumps(LABEL_STUDIO), "neither"),
     ("nowhere", None, "not there"), ("nowhere.json", None, "not there")],
)  # fmt: skip
def test_labels_in_place_of_labelled_pictures_are_told(pool, name, text, said):
    if text is not None:
        (pool / name).write_text(text)
    with pytest.raises(LvtuneError) as caught:
        choose(pool, labelled=pool / name)
    error = caught.value
    assert error.given.startswith(f"--labelled {pool / name}, which is {said}")
    assert error.expected == "a folder of pictures or a COCO file"
    assert error.fix == "give one, such as --labelled PROJECT/labeled-data"


def test_faults_of_labelled_pictures_say_whose_they_are(pool):
    (pool / "empty").mkdir()
    with pytest.raises(LvtuneError, match=r"--labelled: folder .*empty without pictures"):
        choose(pool, labelled=pool / "empty")
    values = {"images": [{"id": 1, "file_name": "0.png"}], "annotations": [{"image_id": 1, "bbox": [0, 0, 9, 9]}]}
    (pool / "pool" / "a" / "some.json").write_text(json.dumps(values))
    found = choose(pool, labelled=pool / "pool" / "a" / "some.json")
    assert len(found.pictures) == 7


def test_an_instance_more_does_not_make_a_picture_twice(pool):
    values = {
        "images": [{"id": 1, "file_name": "0.png"}, {"id": 2, "file_name": "1.png"}],
        "annotations": [{"image_id": 1, "bbox": [i, i, 40, 60]} for i in (0, 20, 40)],
    }
    (pool / "pool" / "a" / "boxes.json").write_text(json.dumps(values))
    found = choose_next(
        pool / "pool" / "a" / "boxes.json",
        pool / "adapter",
        base=tiny_base(),
        count=9,
        out=pool / "out",
        forms=("coco",),
    )
    assert len(found.pictures) == 2 and len(read_project(pool / "out" / "coco").instances) == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [({"out": "pool/a"}, "input"), ({"forms": ("dlc",)}, "some of coco"), ({"labelled": "pool"}, "labelled already"),
     ({"pool": "nowhere"}, "no file or folder"), ({"out": "full", "forms": ("coco",)}, "not empty")],
)  # fmt: skip
def test_what_does_not_fit_is_told(pool, given, said):
    (pool / "full" / "coco").mkdir(parents=True)
    (pool / "full" / "coco" / "mine").write_text("")
    values = {"pool": "pool", "out": "out", "forms": ()} | given
    paths = {name: pool / value for name, value in values.items() if name != "forms"}
    with pytest.raises(LvtuneError, match=said):
        choose_next(paths.pop("pool"), pool / "adapter", base=tiny_base(), forms=values["forms"], **paths)


def test_a_video_is_a_pool(pool, monkeypatch):
    monkeypatch.setenv("LVTUNE_CACHE", str(pool / "cache"))
    video = write_video(pool / "mouse.mp4", 9)
    words = ["next", str(video), "--adapter", str(pool / "adapter"), "-n", "2", "--out", str(pool / "out"), "--frames"]
    assert main([*words, "3", "--base", "vitpose-tiny", "--device", "cpu", "--prelabels", "deeplabcut"]) == 0
    values = json.loads((pool / "out" / "next.json").read_text())
    names = {Path(row["picture"]).name for row in values["pictures"]}
    assert values["pool"] == 3 and len(names) == 2
    assert names < {f"mouse-{number:07d}.png" for number in (0, 3, 6)}
    assert any("one frame of 3" in note for note in values["notes"])
    assert {picture.path.name for picture in read_project(pool / "out" / "deeplabcut").pictures} == names


def test_small_boxes_are_found_for_the_pool_and_for_the_labelled(pool, monkeypatch):
    seen = []

    def found(table, base, adapter, device):
        seen.append(len(table))
        boxes = {table.image_path(i): [[5.0, 5.0, 40.0, 50.0]] for i in range(len(table))}
        return table_of_boxes(boxes, table.skeleton)

    monkeypatch.setattr(pool_pictures, "with_found_boxes", found)
    choose_next(pool / "pool", pool / "adapter", base=tiny_base(), count=2, out=pool / "out", forms=("coco",),
                labelled=pool / "pool" / "a")  # fmt: skip
    assert seen == [4, 4]
    assert [item.box for item in read_project(pool / "out" / "coco").instances] == [(5.0, 5.0, 40.0, 50.0)] * 2


def test_without_an_adapter_it_says_so(pool, capsys):
    assert main(["next", str(pool / "pool")]) == 2
    assert "no adapter" in capsys.readouterr().err
