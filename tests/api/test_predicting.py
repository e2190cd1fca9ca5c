"""`predict`: outputs beside each other, inputs untouched, results for other tools, warnings."""

from __future__ import annotations

import csv
import hashlib
import json

import cv2
import numpy as np
import pytest
from tiny import make_adapter, tiny_base

import lvtune
from lvtune.cli.main import main
from lvtune.core.errors import UsageError
from lvtune.prediction.box_choice import BoxChoice


@pytest.fixture
def folder(tmp_path):
    """Two videos whose frames have the same names, and one frame besides."""
    rng = np.random.default_rng(0)
    for name in ("a/000.png", "b/000.png", "b/001.png"):
        path = tmp_path / "frames" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (60, 50, 3), np.uint8))
    return tmp_path / "frames"


def marks(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_equal_names_keep_their_folders(folder, tmp_path):
    before, out = marks(folder), tmp_path / "out"
    poses = lvtune.predict(folder, base=tiny_base(), out=out, flip_test=False)
    assert len(poses) == 3 and marks(folder) == before
    assert {p.relative_to(out).as_posix() for p in out.rglob("*.png")} == {"a/000.png", "b/000.png", "b/001.png"}
    again = lvtune.predict([folder / "a", folder / "b"], base=tiny_base(), out=tmp_path / "two", flip_test=False)
    assert [pose.image for pose in again] == [pose.image for pose in poses]
    assert len(list((tmp_path / "two").rglob("*.png"))) == 3


@pytest.mark.parametrize("out", ["frames/a", "frames/b/../a", "link"])
def test_an_input_is_never_written_to(out, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder / "a")
    before = marks(folder)
    with pytest.raises(UsageError, match="--out"):
        lvtune.predict(folder / "a", base=tiny_base(), out=tmp_path / out)
    with pytest.raises(UsageError, match="--out"):
        lvtune.predict(folder / "a/000.png", base=tiny_base(), out=tmp_path / out)
    with pytest.raises(UsageError, match="--out"):
        lvtune.predict(folder, base=tiny_base(), out=tmp_path / out)
    assert marks(folder) == before


def test_drawings_inside_the_input_folder_are_no_inputs(folder):
    for left_out in (0, 3):
        poses = lvtune.predict(folder, base=tiny_base(), out=folder / "drawn", flip_test=False)
        assert len(poses) == 3
        assert any(f"{left_out} pictures of an earlier run" in note for note in poses.notes) == (left_out > 0)


def test_frames_without_a_box_give_no_pose_and_are_counted(folder, tmp_path):
    boxes = {"a/000.png": [[5, 5, 30, 40], [10, 10, 20, 20]], "b/000.png": [], "b/001.png": [[1, 1, 40, 50]]}
    poses = lvtune.predict(folder, base=tiny_base(), boxes=boxes, out=tmp_path / "out", flip_test=False)
    assert len(poses) == 3 and len(poses.pictures) == 3
    assert any("1 of 3 pictures has no box" in note for note in poses.notes)
    assert not (tmp_path / "out/b/000.png").exists()
    with (tmp_path / "out/poses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["../frames/a/000.png"] * 2 + ["../frames/b/001.png"]
    assert float(rows[0]["nose_x"]) == pytest.approx(poses[0].keypoints[0, 0], abs=1e-3)


def test_a_flip_test_that_the_adapter_does_not_take_is_said(folder):
    base = tiny_base()
    adapter = make_adapter("norm", base, stirred=0.1)
    assert not any("flip test" in note for note in lvtune.predict(folder, base=base, adapter=adapter).notes)
    adapter.saved_with = {"training": {"recipe": {"evaluate": {"flip_test": False}}}}
    asked, unasked = (lvtune.predict(folder, base=base, adapter=adapter, flip_test=flip) for flip in (True, False))
    assert all(np.array_equal(one.keypoints, other.keypoints) for one, other in zip(asked, unasked, strict=True))
    assert sum("so the flip test is off" in note for note in asked.notes) == 1
    assert not any("flip test" in note for note in unasked.notes)


def test_poses_are_the_same_in_any_batch(folder):
    base, boxes = tiny_base(), {"a/000": [[5, 5, 30, 40]] * 3, "b/000": [[1, 1, 40, 50]], "b/001": [[2, 2, 40, 50]]}
    whole = lvtune.predict(folder, base=base, boxes=boxes, flip_test=False)
    for size in (1, 2):
        some = lvtune.predict(folder, base=base, boxes=boxes, flip_test=False, batch_size=size)
        for one, other in zip(some, whole, strict=True):
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4)


def test_coco_results_are_read_by_pycocotools_with_the_ids_of_the_boxes(folder, tmp_path):
    from pycocotools.coco import COCO

    rows = [{"image_id": 41, "category_id": 1, "bbox": [5, 5, 30, 40], "score": 0.8}]
    truth = {"images": [{"id": 41, "file_name": "a/000.png"}], "annotations": rows,
             "categories": [{"id": 1, "name": "person"}]}  # fmt: skip
    (tmp_path / "boxes.json").write_text(json.dumps(truth))
    poses = lvtune.predict(folder, base=tiny_base(), boxes=tmp_path / "boxes.json", out=tmp_path / "out")
    assert (len(poses), poses[0].box_score) == (1, 0.8)
    known = COCO()
    known.dataset = {**truth, "annotations": [{**rows[0], "id": 1, "area": 1200, "iscrowd": 0}]}
    known.createIndex()
    found = known.loadRes(str(tmp_path / "out/results.coco.json"))
    (one,) = found.loadAnns(found.getAnnIds())
    np.testing.assert_allclose(np.reshape(one["keypoints"], (-1, 3))[:, :2], poses[0].keypoints, rtol=1e-5)


def test_without_ids_the_pictures_are_counted_and_that_is_said(folder, tmp_path):
    poses = lvtune.predict(folder, base=tiny_base(), out=tmp_path / "out", flip_test=False)
    results = json.loads((tmp_path / "out/results.coco.json").read_text())
    assert [(one["image_id"], one["file_name"]) for one in results] == [(i, p.image) for i, p in enumerate(poses, 1)]
    assert any("counts the pictures from 1" in note for note in poses.notes)


def test_whole_frames_for_an_adapter_of_small_boxes_are_warned_about(folder):
    base = tiny_base()
    adapter = make_adapter("lora", base)
    for share, warned in ((0.06, True), (0.9, False), (None, False)):
        adapter.saved_with = {"training": {"boxes": None if share is None else {"median_share": share}}}
        for boxes in (None, "whole"):
            poses = lvtune.predict(folder / "a", base=base, adapter=adapter, boxes=boxes, flip_test=False)
            assert any("boxes of 6 % of the picture" in note for note in poses.notes) == warned
        poses = lvtune.predict(folder / "a", base=base, adapter=adapter, boxes={"000": [[1, 1, 30, 40]]})
        assert not poses.notes


def test_on_the_command_line(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"image_id": "a/000.png", "category_id": 1, "bbox": [5, 5, 30, 40], "score": 0.9},
        {"image_id": "a/000.png", "category_id": 17, "bbox": [5, 5, 30, 40], "score": 0.9},
        {"image_id": "b/001.png", "category_id": 1, "bbox": [5, 5, 30, 40], "score": 0.4},
    ]
    (tmp_path / "boxes.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(rows).encode())
    given = ["predict", str(folder), "--base", "timm:resnet10t", "--weights", "random", "--boxes", "boxes.json"]
    assert main([*given, "--box-threshold", "0.5", "--format", "dlc"]) == 0
    out = capsys.readouterr().out
    assert "cat 1" in out and "score below 0.5" in out and "2 of 3 pictures have no box" in out
    written = {path.name for path in (tmp_path / "lvtune-out/predict").iterdir()}
    assert {"a", "poses.json", "poses.csv", "results.coco.json", "dlc_poses.csv"} <= written and "b" not in written
    assert main([*given, "--class", "cat", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (len(values["poses"]), values["pictures"], values["out"]) == (1, 3, None)
    assert main([*given, "--out", str(folder / "a")]) == 1
    assert "never written to" in capsys.readouterr().err


def test_box_choice_is_a_plain_object():
    assert (BoxChoice().threshold, BoxChoice().box_class, BoxChoice().box_format) == (0.3, None, "auto")
