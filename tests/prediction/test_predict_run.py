"""One run of predict: sources, broken pictures, runs that go on after a kill, bounded memory, results that agree."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny import tiny_base

import lvtune
from lvtune.core.errors import DataError, LvtuneError, UsageError
from lvtune.prediction.file_source import FileSource
from lvtune.prediction.finder import Finder, Found
from lvtune.prediction.frames import Source

FILES = ("poses.json", "poses.csv", "results.coco.json", "poses.jsonl", "summary.json")
PLAIN = {"flip_test": False, "batch_size": 2}


def write(path, seed=0, size=(50, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8))
    return path


@pytest.fixture
def folder(tmp_path):
    """Seven pictures, one of them broken, one that is no picture."""
    for i in range(7):
        write(tmp_path / "in" / f"{i}.png", i)
    (tmp_path / "in/3.png").write_bytes((tmp_path / "in/3.png").read_bytes()[:-40])
    (tmp_path / "in/5.jpg").write_text("no picture")
    return tmp_path / "in"


def texts(out):
    return {name: (out / name).read_text() for name in FILES}


def test_broken_pictures_are_skipped_counted_and_named(folder, tmp_path):
    poses = lvtune.predict(folder, base=tiny_base(), out=tmp_path / "out", **PLAIN)
    assert [Path(pose.image).name for pose in poses] == ["0.png", "1.png", "2.png", "4.png", "5.png", "6.png"]
    (note,) = [note for note in poses.notes if "cannot be read" in note]
    assert "2 of 8 pictures" in note and "3.png" in note and "5.jpg" in note and "truncated PNG" in note
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert [Path(one["picture"]).name for one in summary["broken"]] == ["3.png", "5.jpg"]
    assert (summary["pictures"], summary["poses"], note in summary["notes"]) == (8, 6, True)
    with pytest.raises(DataError, match="2 pictures, none of which can be read"):
        lvtune.predict([folder / "3.png", folder / "5.jpg"], base=tiny_base(), out=tmp_path / "none")
    assert not (tmp_path / "none/poses.jsonl").exists()


class Stops(FileSource):
    """Breaks off before a frame, as a kill does."""

    def __init__(self, files, stop):
        super().__init__(files, {file: Path(file.name) for file in files})
        self._stop = stop

    def frames(self, start=0, wanted=None):
        for frame in super().frames(start, wanted):
            if frame.index == self._stop:
                raise KeyboardInterrupt
            yield frame


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_run_that_was_broken_off_goes_on_to_the_same_files(stop, folder, tmp_path):
    files = sorted(folder.glob("*.*"))
    whole = lvtune.predict(Stops(files, 99), base=tiny_base(), out=tmp_path / "whole", **PLAIN)
    with pytest.raises(KeyboardInterrupt):
        lvtune.predict(Stops(files, stop), base=tiny_base(), out=tmp_path / "out", **PLAIN)
    assert not (tmp_path / "out/poses.json").exists()
    # as if the kill came in the middle of a line
    with (tmp_path / "out/poses.jsonl").open("a") as file:
        file.write('{"picture": "half a li')
    again = lvtune.predict(Stops(files, 99), base=tiny_base(), out=tmp_path / "out", resume=True, **PLAIN)
    assert texts(tmp_path / "out") == texts(tmp_path / "whole")
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        p.name for p in (tmp_path / "whole").glob("*.png")
    }
    for one, other in zip(again, whole, strict=True):
        assert one.to_dict() == other.to_dict() and np.array_equal(one.keypoints, other.keypoints)


def test_a_finished_run_is_not_computed_again_and_another_one_is_refused(folder, tmp_path):
    given = {"base": tiny_base(), "out": tmp_path / "out", **PLAIN}
    lvtune.predict(folder, **given)
    before = texts(tmp_path / "out")
    lvtune.predict(Stops(sorted(folder.glob("*.*")), 99), **{**given, "out": tmp_path / "two"})
    done = lvtune.predict(Stops(sorted(folder.glob("*.*")), 0), **{**given, "out": tmp_path / "two"}, resume=True)
    assert len(done) == 6  # the source, which breaks off at once, was not read
    again = lvtune.predict(folder, **given, resume=True)
    assert texts(tmp_path / "out") == before and len(again) == 6
    with pytest.raises(UsageError, match=r"other settings \(batch_size: 2, now 3\).*leave --resume out"):
        lvtune.predict(folder, **{**given, "batch_size": 3}, resume=True)
    write(folder / "1.png", 77)
    with pytest.raises(UsageError, match=r"other settings \(source"):
        lvtune.predict(folder, **given, resume=True)
    with pytest.raises(UsageError, match="give --out"):
        lvtune.predict(folder, base=tiny_base(), resume=True)
    (tmp_path / "out/poses.jsonl").write_text("[]\n")
    with pytest.raises(LvtuneError, match="no run of predict began"):
        lvtune.predict(folder, **given, resume=True)


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_to_the_same_files(tmp_path):
    for i in range(12):
        write(tmp_path / "in" / f"{i:02}.png", i)
    script = textwrap.dedent("""
        import os, sys
        sys.path.insert(0, {tests!r})
        import lvtune
        from tiny import tiny_base
        stream = lvtune.predict_stream(sys.argv[1], base=tiny_base(), out=sys.argv[2], resume=True, batch_size=2)
        for count, poses in enumerate(stream, 1):
            if count == int(sys.argv[3]):
                os.kill(os.getpid(), {signal})
    """).format(tests=str(Path(__file__).parents[1]), signal=int(signal.SIGKILL))

    def run(out, stop):
        command = [sys.executable, "-c", script, str(tmp_path / "in"), str(tmp_path / out), str(stop)]
        return subprocess.run(command, check=False, env=os.environ).returncode

    assert run("whole", 99) == 0
    assert run("out", 5) == -signal.SIGKILL
    assert 0 < (tmp_path / "out/poses.jsonl").read_text().count('"picture"') < 12
    assert run("out", 99) == 0
    assert texts(tmp_path / "out") == texts(tmp_path / "whole")


def test_memory_holds_few_pictures_however_many_there_are(tmp_path):
    """Of 60 pictures of 12 MB at most a few are held at a time."""
    import tracemalloc

    class Large(Source):
        title = "large pictures"

        def frames(self, start=0, wanted=None):
            for place in range(start, 60):
                from lvtune.prediction.frames import Frame

                yield Frame(place, Path(f"large-{place}"), np.full((2000, 2000, 3), place, np.uint8))

    base = tiny_base()
    tracemalloc.start()
    try:
        seen = [poses.frame.index for poses in lvtune.predict_stream(Large(), base=base, find=Nothing(), batch_size=4)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == list(range(60))
    assert peak < 12 * 12e6  # a chunk of four, the one before, and the frame at hand


class Nothing(Finder):
    """Finds no box."""

    def find(self, frames, look):
        return [Found.nothing() for _ in frames]


def test_a_stream_yields_before_the_rest_is_read(folder):
    read = []

    class Counts(FileSource):
        def frames(self, start=0, wanted=None):
            for frame in super().frames(start, wanted):
                read.append(frame.index)
                yield frame

    files = sorted(folder.glob("*.png"))
    stream = lvtune.predict_stream(Counts(files, {}), base=tiny_base(), **PLAIN)
    assert (stream.count, read) == (7, [])
    poses = next(stream)
    assert len(poses) == 1 and read == [0, 1] and poses.frame.pixels.shape == (60, 50, 3)
    assert sum(len(one) for one in stream) == 5 and len(stream.skipped) == 1
    assert "truncated" in stream.skipped[0][1] and any("cannot be read" in note for note in stream.notes)


def test_arrays_are_pictures(folder, tmp_path):
    files = [folder / f"{i}.png" for i in (0, 1, 2)]
    arrays = [cv2.imread(str(file))[:, :, ::-1] for file in files]
    base = tiny_base()
    expected = lvtune.predict(files, base=base, **PLAIN)
    as_pil = [Image.open(file) for file in files]
    for given in (arrays, np.stack(arrays), as_pil, (array for array in arrays)):
        found = lvtune.predict(given, base=base, **PLAIN)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-4)
    one = lvtune.predict(arrays[1], base=base, out=tmp_path / "out", **PLAIN)
    assert one[0].image == "array-0" and (tmp_path / "out/array-0.png").exists()
    boxed = lvtune.predict(arrays, base=base, boxes={"array-1": [[5, 5, 30, 40]]}, **PLAIN)
    assert [(pose.image, pose.bbox) for pose in boxed] == [("array-1", (5, 5, 30, 40))]
    for wrong in (arrays[0][..., 0], arrays[0].astype(float), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(UsageError, match=r"\(H, W, 3\) uint8, RGB"):
            lvtune.predict([wrong], base=base)
    with pytest.raises(UsageError, match="pictures of type int"):
        lvtune.predict(3, base=base)
    with pytest.raises(UsageError, match=r"option 'adaptor'.*adapter"):
        lvtune.predict(arrays, base=base, adaptor="x")


def test_data_sets_are_pictures(folder):
    datasets = pytest.importorskip("datasets")
    files = [folder / f"{i}.png" for i in (0, 1)]
    rows = datasets.Dataset.from_dict({"image": [str(file) for file in files]}).cast_column("image", datasets.Image())
    expected, found = (lvtune.predict(given, base=tiny_base(), **PLAIN) for given in (files, rows))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-4)
    assert [pose.image for pose in found] == ["item-0", "item-1"]
    with pytest.raises(UsageError, match="a row with the fields label"):
        lvtune.predict(datasets.Dataset.from_dict({"label": [1]}), base=tiny_base())


def test_patterns_and_lists(folder, tmp_path, monkeypatch):
    write(tmp_path / "in/deep/er/9.png")
    names = lambda given: [Path(p.image).name for p in lvtune.predict(given, base=tiny_base(), **PLAIN)]  # noqa: E731
    assert names(str(folder / "[0-2].png")) == ["0.png", "1.png", "2.png"]
    assert names(str(folder / "**/9.*")) == ["9.png"]
    (tmp_path / "list.txt").write_text("\ufeff# mine\nin/2.png\n\nin/gone.png\nin/0.png\n", encoding="utf-8")
    found = lvtune.predict(f"@{tmp_path / 'list.txt'}", base=tiny_base(), **PLAIN)
    assert [Path(pose.image).name for pose in found] == ["2.png", "0.png"]
    assert any("1 of 3 pictures cannot be read" in note and "gone.png" in note for note in found.notes)
    lvtune.predict(str(tmp_path / "in/**/*.png"), base=tiny_base(), out=tmp_path / "out", **PLAIN)
    assert (tmp_path / "out/deep/er/9.png").exists() and (tmp_path / "out/0.png").exists()
    for wrong, words in (("*.tiff", "which matches no picture"), ("@none.txt", "no list of pictures")):
        with pytest.raises(DataError, match=words):
            names(str(folder / wrong) if "*" in wrong else wrong)


def test_csv_json_and_coco_hold_the_same_poses(folder, tmp_path):
    pandas = pytest.importorskip("pandas")
    from pycocotools.coco import COCO

    boxes = {"0.png": [[5, 5, 30, 40], [1, 1, 20, 20]], "2.png": [[2, 2, 40, 50]]}
    poses = lvtune.predict(folder, base=tiny_base(), boxes=boxes, out=tmp_path / "out", **PLAIN)
    table = pandas.read_csv(tmp_path / "out/poses.csv")
    points = np.stack([pose.keypoints for pose in poses])
    scores = np.stack([pose.scores for pose in poses])
    read = np.stack([table[[f"{k}_x", f"{k}_y", f"{k}_score"]].to_numpy() for k in poses[0].skeleton.keypoints], 1)
    np.testing.assert_allclose(read[..., :2], points, atol=1e-3)
    np.testing.assert_allclose(read[..., 2], scores, atol=1e-3)
    results = json.loads((tmp_path / "out/results.coco.json").read_text())
    ids = sorted({one["image_id"] for one in results})
    truth = COCO()
    truth.dataset = {"images": [{"id": i} for i in ids], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    truth.createIndex()
    loaded = truth.loadRes(str(tmp_path / "out/results.coco.json"))
    found = np.array([one["keypoints"] for one in loaded.loadAnns(sorted(loaded.getAnnIds()))]).reshape(3, -1, 3)
    np.testing.assert_allclose(found[..., :2], points, rtol=1e-6)
    np.testing.assert_allclose([[p["x"], p["y"]] for one in json.loads((tmp_path / "out/poses.json").read_text())
                                for p in one["keypoints"]], points.reshape(-1, 2), atol=6e-3)  # fmt: skip
    frame = poses.to_pandas()
    np.testing.assert_allclose(frame["nose_x"], table["nose_x"], atol=1e-3)
    assert "frame" not in frame and list(frame["image"]) == [pose.image for pose in poses]
    data = COCO()
    data.dataset = poses.to_coco()
    data.createIndex()
    assert len(data.getImgIds()) == len(poses.pictures) and len(data.getAnnIds()) == 3
    named = {one["file_name"]: one for one in data.dataset["images"]}
    assert (named[poses[0].image]["width"], named[poses[0].image]["height"]) == (50, 60)
    first = data.loadAnns(data.getAnnIds(imgIds=[named[poses[0].image]["id"]]))
    np.testing.assert_allclose(np.reshape(first[0]["keypoints"], (-1, 3))[:, :2], points[0])


def test_key_points_of_supervision(folder):
    supervision = pytest.importorskip("supervision")
    poses = lvtune.predict(folder / "0.png", base=tiny_base(), **PLAIN)
    found = poses.to_supervision()
    assert isinstance(found, supervision.KeyPoints)
    np.testing.assert_allclose(found.xy, [poses[0].keypoints], rtol=1e-5)
    assert len(lvtune.predict(folder / "0.png", base=tiny_base(), find=Nothing(), **PLAIN).to_supervision()) == 0


def test_a_library_that_is_missing_says_what_to_install(folder, monkeypatch):
    poses = lvtune.predict(folder / "0.png", base=tiny_base(), **PLAIN)
    for name in ("pandas", "supervision"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UsageError, match=f"without {name}.*type `pip install"):
            getattr(poses, f"to_{name}")()


def test_progress_says_what_is_left():
    from lvtune.prediction.progress_line import ProgressLine

    line = ProgressLine(total=30, start=10, shown=False)
    line.update(5)
    assert line.line(2.5) == "predicting: 15 of 30 pictures, 2.0 a second, 8 s left"
    assert "left" not in ProgressLine(None, shown=False).line(1)


def test_poses_csv_has_no_column_of_videos_for_pictures(folder, tmp_path):
    lvtune.predict(folder / "0.png", base=tiny_base(), out=tmp_path / "out", **PLAIN)
    with (tmp_path / "out/poses.csv").open(newline="") as file:
        head = next(csv.reader(file))
    assert "track" not in head and head[0] == "image"


@pytest.mark.parametrize("method", ["lora", "vlpose-light", "vpt"])
def test_many_pictures_are_predicted_by_one_merged_model(method, tmp_path, monkeypatch):
    """The poses are those of base and adapter up to rounding; what cannot be merged stays attached."""
    from tiny import make_adapter

    from lvtune.prediction import run
    from lvtune.prediction.estimating import open_estimating

    monkeypatch.setattr(run, "MANY", 3)
    monkeypatch.setattr(run, "load_base_for", lambda *args: tiny_base())
    adapter = make_adapter(method, tiny_base(), stirred=0.1)
    files = [write(tmp_path / f"{i}.png", i) for i in range(4)]
    opened = []
    monkeypatch.setattr(run, "open_estimating", lambda *args: opened.append(open_estimating(*args)) or opened[-1])
    many = lvtune.predict(files, base="any", adapter=adapter, **PLAIN)
    assert (opened[0].single is None) is (method != "vpt")
    few = [pose for file in files for pose in lvtune.predict([file], base="any", adapter=adapter, **PLAIN)]
    for one, other in zip(many, few, strict=True):
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-2)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        assert one.category == other.category and one.skeleton == other.skeleton
    own = tiny_base()
    lvtune.predict(files, base=own, adapter=adapter, **PLAIN)
    assert opened[-1].base is own  # a user's base is never copied
