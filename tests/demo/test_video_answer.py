"""A visitor's short video."""

import json

import numpy as np
import pytest
from demo_samples import LIMITS, ONE, pixels, shared_base, visitor

import lvtune
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.demo.questions import BOXES, POSE, WHOLE, Limits, Question
from lvtune.demo.video_answer import answer_video

pytest.importorskip("av", reason="PyAV is not installed: pip install 'lvtune[video]'")

from videos import write_video


def moving(number, size):
    return np.roll(pixels(size=(size[1], size[0])), 2 * number, axis=1)


@pytest.fixture
def video(tmp_path):
    """One second at 25 frames a second."""
    return str(write_video(tmp_path / "uploads" / "walk.mp4", 25, size=(96, 64), draw=moving))


def ask(video, folder, who=None, limits=LIMITS, **question):
    told = []
    answer = answer_video(shared_base(), who or visitor(ONE), video, Question(**question), folder, limits,
                          lambda done, count: told.append((done, count)))  # fmt: skip
    return answer, told


def test_the_beginning_is_predicted_and_a_note_says_so(video, tmp_path):
    answer, told = ask(video, tmp_path, find=WHOLE)
    frames = [pose["frame"] for pose in json.loads(answer.files.json.read_text())]
    assert frames == list(range(13)) == [done - 1 for done, _ in told]  # the frames before 0.5 s
    assert "The first 0.5 of 1.0 seconds" in answer.notes[0]
    overlay = list(lvtune.predict_stream(str(answer.overlay), base="vitpose-ti", find="whole"))
    assert len(overlay) == 13
    whole, _ = ask(video, tmp_path, limits=Limits(), find=WHOLE, every=5)
    assert [pose["frame"] for pose in json.loads(whole.files.json.read_text())] == [0, 5, 10, 15, 20]
    assert not any("first" in note for note in whole.notes)


def test_the_table_has_a_row_for_each_key_point_and_the_files_no_path(video, tmp_path):
    answer, _ = ask(video, tmp_path, find=POSE)
    assert ONE in answer.caption
    poses = json.loads(answer.files.json.read_text())
    scores = [pose["keypoints"][0]["score"] for pose in poses]
    number, name, mean, least, frames = answer.table["data"][0]
    assert (number, name, frames) == (1, "nose", len(poses))
    assert mean == pytest.approx(np.mean(scores), abs=0.006) and least == pytest.approx(min(scores), abs=0.006)
    text = answer.files.json.read_text() + answer.files.csv.read_text()
    assert "walk.mp4" in text and str(tmp_path) not in text and "uploads" not in text
    assert {pose["adapter"] for pose in poses} == {ONE}


def test_off_is_the_base_alone(video, tmp_path):
    poses = [ask(video, tmp_path, who, find=WHOLE)[0].files.json.read_text() for who in (
        visitor(ONE), visitor(ONE, is_on=False), visitor())]  # fmt: skip
    assert poses[0] != poses[1] == poses[2]


def test_what_is_no_video_is_told(video, tmp_path):
    broken = tmp_path / "uploads" / "text.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(LvtuneError) as error:
        ask(str(broken), tmp_path)
    assert "text.mp4" in str(error.value) and str(tmp_path) not in str(error.value)
    with pytest.raises(UsageError, match="no video"):
        ask(None, tmp_path)
    with pytest.raises(UsageError, match=r"photo\.jpg"):
        ask(str(tmp_path / "photo.jpg"), tmp_path)
    with pytest.raises(UsageError, match="by hand"):
        ask(video, tmp_path, find=BOXES, boxes="1,1,5,5")
    with pytest.raises(LvtuneError, match="96 x 64"):
        ask(video, tmp_path, limits=Limits(pixels=96 * 64 - 1))
