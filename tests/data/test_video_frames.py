"""Frames of videos: times, ranges, rotation, and files that are damaged."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from videos import write_video

from lvtune.core.errors import DataError, UsageError
from lvtune.data.video_frames import ReadingNotes, read_frames, video_info
from lvtune.data.video_range import FrameRange, frame_range, parse_time

pytest.importorskip("av")
UNEVEN = np.cumsum(np.random.default_rng(0).integers(15, 90, 40)).tolist()


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi"])
def test_frames_come_in_order_with_their_own_times(tmp_path, ending):
    times = UNEVEN if ending != ".avi" else [40 * i for i in range(40)]  # AVI has one frame rate
    video = write_video(tmp_path / f"a{ending}", 40, times=times, codec="mpeg4" if ending == ".avi" else "libx264")
    log = ReadingNotes()
    frames = list(read_frames(video, None, log))
    assert [frame.number for frame in frames] == list(range(40))
    found = np.array([frame.time for frame in frames])
    assert np.abs(found - (np.array(times) - times[0]) / 1000).max() < 0.0011
    assert (log.read, log.broken, log.notes) == (40, 0, [])
    grey = [int(frame.image[-1, -1, 0]) for frame in frames]
    assert np.abs(np.array(grey) - (40 + 3 * np.arange(40))).max() <= 4


def test_a_part_of_the_time_and_every_third_frame(tmp_path):
    video = write_video(tmp_path / "a.mp4", 40, times=UNEVEN)
    every = list(read_frames(video))
    for start, stop, step in ((0.4, 1.2, 1), (None, "0:01", 3), ("0:00.9", None, 2), (0.0, 0.05, 1)):
        low, high = float(parse_time(start or 0)), np.inf if stop is None else parse_time(stop)
        expected = [frame for frame in every if low <= frame.time < high][::step]
        found = list(read_frames(video, frame_range(start, stop, step)))
        assert [(f.number, f.time) for f in found] == [(f.number, f.time) for f in expected] and found
        assert all((a.image == b.image).all() for a, b in zip(found, expected, strict=True))
    assert list(read_frames(video, FrameRange(100.0))) == []


@pytest.mark.parametrize(
    ("rotation", "mirrored", "corner", "words"),
    [(0, False, (0, 0), ""), (90, False, (1, 0), "90 degrees to the left"), (-90, False, (0, 1), "to the right"),
     (180, False, (1, 1), "180"), (0, True, (0, 1), "mirrored left"), (90, True, (1, 1), "other diagonal")],
)  # fmt: skip
def test_frames_are_upright(tmp_path, rotation, mirrored, corner, words):
    video = write_video(tmp_path / "a.mp4", 3, rotation=rotation, mirrored=mirrored)
    image = next(read_frames(video)).image
    size = (48, 64) if rotation in (90, -90) else (64, 48)
    assert video_info(video).size == size == image.shape[1::-1]
    red = [(y, x) for y in (0, 1) for x in (0, 1) if np.ptp(image[-8 if y else 8, -8 if x else 8].astype(int)) > 100]
    assert red == [corner]
    assert words in video_info(video).line()


@pytest.mark.parametrize(
    ("change", "told"),
    [(lambda b: b"", "empty"), (lambda b: b"no video" * 99, "cannot be read as a video"),
     (lambda b: b[: len(b) // 2], "cut short")],
)  # fmt: skip
def test_damaged_files_are_told(tmp_path, change, told):
    video = write_video(tmp_path / "a.mp4")
    video.write_bytes(change(video.read_bytes()))
    for read in (video_info, lambda path: next(read_frames(path))):
        with pytest.raises(DataError, match=told):
            read(video)


def test_a_video_that_ends_early_gives_what_there_is_and_a_note(tmp_path):
    video = write_video(tmp_path / "a.mkv", 40)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    log = ReadingNotes()
    count = len(list(read_frames(video, None, log)))
    assert 5 < count < 40
    assert "its last frame that could be read is at" in log.notes[0]


def test_no_file_no_pictures_and_no_library(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no video at"):
        video_info(tmp_path / "nothing.mp4")
    sound = tmp_path / "a.mp4"
    import av

    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="holds no video"):
        video_info(sound)
    real = builtins.__import__
    monkeypatch.setattr(
        "lvtune.data.video_frames.importlib.import_module",
        lambda name: (_ for _ in ()).throw(ImportError(name)) if name == "av" else real(name),
    )
    with pytest.raises(DataError, match=r'pip install "lvtune\[video\]"'):
        video_info(sound)


@pytest.mark.parametrize(
    ("text", "seconds"), [("75", 75), ("1:15", 75), ("0:01:15.5", 75.5), ("2:00:00", 7200), (3, 3), ("10s", 10)]
)
def test_times(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1:75", "1:60:00", "1:2:3:4", "ten", "1e3", "nan", True])
def test_words_that_are_no_times(text):
    with pytest.raises(UsageError, match="time"):
        parse_time(text)


@pytest.mark.parametrize("words", [("0:20", "0:10", 1), ("5", "5", 1), (0, None, 0), (-1.0, None, 1)])
def test_ranges_that_hold_nothing(words):
    with pytest.raises(UsageError):
        frame_range(*words)
