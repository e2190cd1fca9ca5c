"""What predict says by itself: several in a picture, pictures far larger, low confidence, nothing found."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lvtune.data.skeletons import COCO_17
from lvtune.prediction.crowd import CROWD, WatchfulWholeFinder, second_score, shows_several
from lvtune.prediction.frames import Frame
from lvtune.prediction.pose import FramePoses, Pose
from lvtune.prediction.watching import RunTotals, whole_frame_notes


def pose(score=0.8, at=(50, 50), size=40, image="a.jpg"):
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (17, 2)) * size + at
    return Pose(image, (0, 0, 10, 10), points, np.full(17, score), COCO_17)


def result(poses=(), index=0, size=(640, 480), marks=None, error=None, name="a.jpg"):
    return FramePoses(Frame(index, Path(name), None, known_size=size, error=error), poses, marks=marks)


def notes(results, finds="whole", most=1, **training):
    adapters = [SimpleNamespace(saved_with={"training": training})] if training else []
    totals = RunTotals(adapters, finds, most=most)
    for one in results:
        totals.replay(one)
    return totals.notes()


def test_a_usual_run_has_no_note():
    assert notes([result([pose()])] * 5, boxes={"picture_size": [640.0, 480.0]}, confidence=0.8) == []


@pytest.mark.parametrize(("scores", "own", "said"), [
    ([0.25] * 5, None, True), ([0.25] * 2 + [0.6] * 3, None, False), ([0.45] * 5, 0.85, True), ([0.6] * 5, 0.85, False),
])  # fmt: skip
def test_low_confidence_throughout(scores, own, said):
    given = {} if own is None else {"confidence": own}
    found = notes([result([pose(score)]) for score in scores], **given)
    assert bool(found) == said
    if said:
        assert "low confidence throughout" in found[0] and "--find pose" in found[0]
        assert (f"{own:.2f} on the test pictures of the adapter" in found[0]) if own else ("--adapter" in found[0])


def test_pictures_far_larger_than_those_of_tuning():
    tuned = {"boxes": {"picture_size": [640.0, 480.0]}}
    assert not notes([result([pose()], size=(1280, 960))], **tuned)
    (note,) = notes([result([pose()], size=(3840, 2160), name="big.jpg")] * 2, **tuned)
    assert "2 pictures are far larger" in note and "big.jpg: 3840 x 2160, tuned on 640 x 480" in note
    assert "--find pose or --find detector" in note
    assert not notes([result([pose()], size=(3840, 2160))], "pose", **tuned)


def test_fewer_poses_than_were_looked_for():
    results = [result([pose()]), result([pose(), pose(at=(200, 50))]), result([pose(), pose(at=(200, 50)), pose()])]
    (note,) = notes(results, "pose", most=3)
    assert note.startswith("2 of 3 pictures have fewer than 3 poses") and "--find FILE" in note
    assert not notes(results, "pose", most=1)
    assert "1 of 1 picture has fewer" in notes(results[:1], "pose", most=2)[0]


def test_several_in_a_picture():
    marked = [result([pose()], marks={CROWD: True}, name="two.jpg"), *[result([pose()], marks={CROWD: False})] * 2]
    (note,) = notes(marked)
    assert "1 of 3 pictures that were looked at closely" in note and "two.jpg" in note and "--find detector" in note
    assert not notes(marked + [result([pose()], marks={CROWD: False})] * 4), "one in seven may be wrong"


def test_nothing_found_says_what_to_type():
    for finds, words in (("pose", "--find whole"), ("detector", "--box-threshold"), ("words", "other words")):
        (note,) = notes([result(), result([pose()])], finds)
        assert "1 of 2 pictures has no box: no pose (a.jpg)" in note and words in note
    assert not notes([result(), result([pose()])], "boxes")  # the box file has said it


def test_the_median_score_is_that_of_all_poses():
    totals = RunTotals()
    scores = np.random.default_rng(0).uniform(0, 1, 301)
    for score in scores:
        totals.replay(result([pose(score)]))
    assert totals.median_score() == pytest.approx(np.median(scores), abs=0.006)
    assert RunTotals().median_score() is None


def test_small_boxes_of_tuning():
    adapter = SimpleNamespace(saved_with={"training": {"boxes": {"median_share": 0.03}}})
    assert "boxes of 3 % of the picture" in whole_frame_notes([adapter])[0] and whole_frame_notes([]) == []


def test_two_poses_side_by_side_are_several_and_one_in_two_windows_is_not():
    left, same, right = pose(0.7, (50, 50)), pose(0.6, (55, 52)), pose(0.6, (150, 50))
    assert second_score([left, same]) == (pytest.approx(0.7), 0.0)
    assert second_score([same, right, left]) == (pytest.approx(0.7), pytest.approx(0.6))
    assert second_score([]) == (0.0, 0.0)
    shown = Frame(0, Path("a"), np.zeros((480, 640, 3), np.uint8))
    for found, expected in (([left, same], False), ([left, right], True), ([left, pose(0.3, (150, 50))], False)):
        assert shows_several([shown], lambda frames, boxes, found=found: [found]) == [expected]


def test_the_first_pictures_and_some_of_the_others_are_looked_at():
    looked = []

    def look(frames, found):
        looked.extend(frame.index for frame in frames)
        return [[] for _ in frames]

    frames = [Frame(index, Path(f"{index}"), np.zeros((48, 64, 3), np.uint8)) for index in range(100)]
    found = WatchfulWholeFinder(100).find(frames, look)
    assert looked == [0, 1, 2, 3, 20, 40, 60, 80]
    assert found[0].boxes.tolist() == [[0, 0, 64, 48]] and found[0].padding == 1
    assert [CROWD in one.marks for one in found[:6]] == [True] * 4 + [False] * 2
    looked.clear()
    WatchfulWholeFinder(100, watches=False).find(frames, look)
    assert looked == []
