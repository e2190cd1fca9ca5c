"""``predict`` on a video: tracks, files that others read, ranges, runs that are broken off."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from tiny import tiny_base
from videos import write_video

import lvtune
from lvtune.core.errors import UsageError
from lvtune.data.video_frames import read_frames, video_info
from lvtune.prediction.finder import Finder, Found
from lvtune.prediction.video_options import VideoOptions

pytest.importorskip("av")
UNEVEN = np.cumsum(np.random.default_rng(3).integers(20, 60, 20)).tolist()


@dataclass
class TwoBoxes(Finder):
    """Two animals that walk; the second is not seen in some frames, and the order changes."""

    name: str = field(default="two", kw_only=True)
    hidden: tuple[int, ...] = (7, 8)

    def find(self, frames, look):
        found = []
        for frame in frames:
            n = frame.number
            boxes = [[5.0 + n, 5, 30, 30], [90.0 - n, 40, 30, 30]][: 1 if n in self.hidden else 2]
            found.append(Found(np.array(boxes[:: -1 if n % 2 else 1]), np.ones(len(boxes))))
        return found


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (96, 128, 3)).astype(np.uint8)
    draw = lambda i, size: np.roll(noise, i, 1)  # noqa: E731
    return write_video(tmp_path_factory.mktemp("video") / "walk.mp4", size=(128, 96), times=UNEVEN, draw=draw)


def predict(images, out=None, **options):
    options = {"base": tiny_base(layers=1), "find": TwoBoxes(), "batch_size": 3, "flip_test": False, **options}
    return lvtune.predict(images, out=out, **options)


def test_the_files_of_a_video_say_the_same_to_everyone(video, tmp_path):
    pandas, sleap_io = pytest.importorskip("pandas"), pytest.importorskip("sleap_io")
    from pycocotools.coco import COCO

    poses = predict(video, tmp_path, layout="dlc,sleap")
    assert len(poses) == 38 and {pose.track for pose in poses} == {1, 2}
    expected = np.full((20, 2, 17, 3), np.nan)
    for pose in poses:
        expected[pose.frame, pose.track - 1] = np.column_stack([pose.keypoints, pose.scores])
    names = poses[0].skeleton.keypoints

    table = pandas.read_csv(tmp_path / "poses.csv")
    found = np.full_like(expected, np.nan)
    columns = [[f"{name}_{part}" for part in ("x", "y", "score")] for name in names]
    found[table.frame, table.track - 1] = np.stack([table[three].to_numpy() for three in columns], 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert table.time[table.track == 1].to_numpy() == pytest.approx((np.array(UNEVEN) - UNEVEN[0]) / 1000, abs=1e-3)

    csv = pandas.read_csv(tmp_path / "dlc_poses.csv", header=[0, 1, 2, 3], index_col=0)
    h5 = pandas.read_hdf(tmp_path / "dlc_poses.h5")
    for frame in (csv, h5):
        assert frame.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
        assert list(frame.index) == list(range(20))
        np.testing.assert_allclose(frame.to_numpy().reshape(20, 2, 17, 3), expected, atol=1e-4)

    truth = COCO()
    truth.dataset = {"images": [{"id": i} for i in range(20)], "annotations": [], "categories": [{"id": 1}]}
    truth.createIndex()
    results = truth.loadRes(str(tmp_path / "results.coco.json"))
    for frame in range(20):
        rows = [np.array(a["keypoints"]).reshape(17, 3) for a in results.loadAnns(results.getAnnIds(imgIds=[frame]))]
        mine = [row for row in expected[frame] if np.isfinite(row).all()]
        assert sorted(row[0, 0] for row in rows) == pytest.approx(sorted(row[0, 0] for row in mine))

    labels = sleap_io.load_slp(str(tmp_path / "poses.slp"), open_videos=False)
    found = np.full_like(expected, np.nan)
    order = [track.name for track in labels.tracks]
    for frame in labels:
        for one in frame.predicted_instances:
            found[frame.frame_idx, order.index(one.track.name)] = one.numpy(scores=True)
    assert order == ["individual1", "individual2"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert labels.skeleton.node_names == list(names)
    assert labels.video.filename == str(video)


def test_the_overlay_has_the_frames_and_times_of_the_video(video, tmp_path):
    predict(video, tmp_path)
    frames, drawn = list(read_frames(video)), list(read_frames(tmp_path / "overlay.mp4"))
    assert [frame.time for frame in drawn] == pytest.approx([frame.time for frame in frames], abs=1e-3)
    assert all((a.image.shape == b.image.shape) for a, b in zip(drawn, frames, strict=True))
    assert not list(tmp_path.glob("*.png")) and not list(tmp_path.glob("*.part*"))


def test_a_range_and_every_second_frame(video, tmp_path):
    poses = predict(video, tmp_path, video=VideoOptions(start="0.2", stop="0:00.6", every=2, track=False), layout="dlc")
    every = [f for f in read_frames(video) if 0.2 <= f.time < 0.6][::2]
    assert sorted({pose.frame for pose in poses}) == [frame.number for frame in every]
    assert {pose.track for pose in poses} == {None}
    drawn = list(read_frames(tmp_path / "overlay.mp4"))
    assert [f.time for f in drawn] == pytest.approx([f.time - every[0].time for f in every], abs=1e-3)


@pytest.mark.parametrize("after", [0, 1, 7, 13])
def test_a_run_that_was_killed_goes_on_to_the_same_files(video, tmp_path, after):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    predict(video, whole)
    options = {"base": tiny_base(layers=1), "find": TwoBoxes(), "batch_size": 3, "flip_test": False, "out": broken}
    stream = lvtune.predict_stream(video, **options)
    for _ in range(after):
        next(stream)
    journal = broken / "poses.jsonl"
    kept = journal.read_bytes() if after else b""
    del stream  # no file is finished
    if after:
        journal.write_bytes(kept + b'{"picture": "walk.mp4/0')  # a line cut by the kill
    assert not (broken / "poses.csv").exists()
    poses = predict(video, broken, resume=True)
    assert len(poses) == 38
    for name in ("poses.csv", "poses.json", "results.coco.json", "overlay.mp4"):
        same = (whole / name).read_bytes() == (broken / name).read_bytes()
        assert same, name
    with pytest.raises(UsageError, match="other settings"):
        predict(video, broken, resume=True, video=VideoOptions(max_gap=0.1))


def test_smoothing_changes_the_files_and_fills_no_gap(video, tmp_path):
    pandas = pytest.importorskip("pandas")
    predict(video, tmp_path / "plain")
    predict(video, tmp_path / "smooth", video=VideoOptions(smooth="one-euro"))
    plain, smooth = (pandas.read_csv(tmp_path / name / "poses.csv") for name in ("plain", "smooth"))
    assert (plain[["frame", "track"]] == smooth[["frame", "track"]]).all().all()
    sure = plain.nose_score >= 0.2
    assert (plain.nose_x != smooth.nose_x).any() or not sure.any()
    assert (plain.nose_x[~sure] == smooth.nose_x[~sure]).all()
    summary = json.loads((tmp_path / "smooth" / "summary.json").read_text())
    assert any("smoothed in time (one-euro)" in note for note in summary["notes"])
    with pytest.raises(UsageError, match="smoothing without an output folder"):
        predict(video, video=VideoOptions(smooth="savgol"))


def test_what_a_user_can_get_wrong(video, tmp_path):
    with pytest.raises(UsageError, match="one video at a time"):
        predict([video, video])
    with pytest.raises(UsageError, match="a time before its end"):
        predict(video, video=VideoOptions(start="1:00"))
    picture = tmp_path / "a.png"
    import cv2

    cv2.imwrite(str(picture), np.zeros((40, 30, 3), np.uint8))
    with pytest.raises(UsageError, match="--from for pictures"):
        predict(picture, video=VideoOptions(start="0:10"), find="whole")
    with pytest.raises(UsageError, match="--individuals for pictures"):
        predict(picture, video=VideoOptions(individuals=2), find="whole")


def test_a_known_number_of_animals_leaves_the_others_out(video):
    poses = predict(video, video=VideoOptions(individuals=1))
    assert len(poses) == 20 and {pose.track for pose in poses} == {1}
    assert any("more than --individuals 1" in note for note in poses.notes)


def test_frames_in_odd_sizes_and_turned(tmp_path):
    video = write_video(tmp_path / "turned.mp4", 3, size=(70, 46), rotation=90)
    predict(video, tmp_path / "out", find="whole", video=VideoOptions(track=True))
    assert video_info(video).size == video_info(tmp_path / "out" / "overlay.mp4").size == (46, 70)
