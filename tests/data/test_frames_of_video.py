"""Frames of a video, evenly spread, as pictures in the cache."""

import pytest
from videos import write_video

from lvtune.core.errors import DataError
from lvtune.data import frames_of_video
from lvtune.data.frames_of_video import frames_of
from lvtune.data.images import read_image


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(("most", "numbers"), [(1, [0]), (3, [0, 4, 8]), (6, [0, 2, 4, 6, 8]), (50, list(range(10)))])
def test_they_are_evenly_spread_and_named_by_their_numbers(tmp_path, most, numbers):
    files, notes = frames_of(write_video(tmp_path / "mouse.mp4", 10), most)
    assert [file.name for file in files] == [f"mouse-{number:07d}.png" for number in numbers]
    for file, number in zip(files, numbers, strict=True):
        assert abs(int(read_image(file)[40, 40, 0]) - (40 + 3 * number)) <= 2  # grey that grows with the number
    assert f"{len(numbers)} pictures" in notes[0]


def test_a_second_look_decodes_nothing_and_another_video_is_decoded(tmp_path, monkeypatch):
    video = write_video(tmp_path / "mouse.mp4", 6)
    first = frames_of(video, 3)
    with monkeypatch.context() as patch:
        patch.setattr(frames_of_video, "read_frames", None)
        assert frames_of(video, 3) == first
        first[0][1].unlink()  # a file of it is gone
        with pytest.raises(TypeError):
            frames_of(video, 3)
    assert len(frames_of(write_video(video, 9), 9)[0]) == 9


def test_what_is_no_video_is_told(tmp_path):
    (tmp_path / "mouse.mp4").write_text("no video")
    with pytest.raises(DataError, match="cannot be read as a video"):
        frames_of(tmp_path / "mouse.mp4")
