"""Ids from frame to frame."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lvtune.tracks.similarity import box_overlap, pose_similarity, suppress_doubles
from lvtune.tracks.tracker import Tracker, TrackOptions

SIGMAS = np.array([0.079, 0.035, 0.035, 0.079])
SHAPE = np.array([[0, -40], [-10, -25], [10, -25], [0, 40]], float)


def animal(x: float, y: float, turn: float = 0.0) -> np.ndarray:
    cos, sin = np.cos(turn), np.sin(turn)
    return SHAPE @ np.array([[cos, sin], [-sin, cos]]) + (x, y)


def see(tracker: Tracker, time: float, *poses: np.ndarray) -> list[int | None]:
    points = np.array(poses, float).reshape(-1, 4, 2)
    boxes = np.array([[*p.min(0) - 12, *np.ptp(p, 0) + 24] for p in points]).reshape(-1, 4)
    return tracker.update(time, boxes, points, np.ones(len(points)))


def test_two_animals_keep_their_ids_whatever_their_order():
    tracker = Tracker(SIGMAS)
    for i in range(60):
        a, b = animal(100 + 6 * i, 100, 0.1 * i), animal(460 - 6 * i, 190, 3)  # they pass each other, 90 pixels apart
        ids = see(tracker, i / 30, *((a, b) if i % 2 else (b, a)))
        # the first frame shows b before a
        assert ids == ([2, 1] if i % 2 else [1, 2])


def test_animals_that_cross_are_told_apart_by_their_poses():
    tracker = Tracker(SIGMAS)
    for i in range(41):
        a, b = animal(100 + 5 * i, 200, np.pi / 2), animal(200, 100 + 5 * i, np.pi)
        assert see(tracker, i / 30, a, b) == [1, 2]


def test_an_id_outlasts_a_short_gap_and_not_a_long_one():
    for gap, expected in ((0.5, 1), (0.9, 1), (1.3, 2)):
        tracker = Tracker(SIGMAS)
        for i in range(10):
            see(tracker, i / 30, animal(100 + 3 * i, 100))
        assert see(tracker, 10 / 30) == []
        assert see(tracker, 9 / 30 + gap, animal(160, 110)) == [expected]


def test_a_lost_animal_does_not_take_the_pose_of_one_that_is_seen():
    tracker = Tracker(SIGMAS)
    see(tracker, 0.0, animal(100, 100), animal(200, 100))
    for i in range(1, 25):  # the first is hidden, and the second walks to where the first was
        assert see(tracker, i / 30, animal(200 - 4 * i, 100)) == [2]
    assert see(tracker, 25 / 30, animal(104, 100), animal(30, 100)) == [2, 1]


def test_a_known_number_of_animals():
    tracker = Tracker(SIGMAS, TrackOptions(individuals=2))
    assert see(tracker, 0.0, animal(100, 100), animal(300, 100), animal(500, 100)) == [1, 2, None]
    for i in range(1, 5):
        assert see(tracker, i / 30, animal(100, 100)) == [1]
    assert see(tracker, 60.0, animal(100, 100), animal(600, 400)) == [1, 2]  # far away, and long after


def test_points_that_are_not_sure_are_not_compared():
    tracker = Tracker(SIGMAS)
    see(tracker, 0.0, animal(100, 100), animal(300, 100))
    hidden = animal(300, 100)
    hidden[1:] = np.nan
    nothing = np.full((4, 2), np.nan)
    boxes = np.array([[290, 50, 40, 100], [80, 50, 40, 100]], float)
    assert tracker.update(1 / 30, boxes, np.stack([hidden, nothing]), np.ones(2)) == [2, 1]


def test_going_on_from_a_saved_state_gives_the_same_ids():
    def run(break_at: int | None) -> list:
        tracker, found = Tracker(SIGMAS), []
        for i in range(40):
            if i == break_at:
                state = json.loads(json.dumps(tracker.state()))
                tracker = Tracker(SIGMAS)
                tracker.restore(state)
            poses = [animal(100 + 5 * i, 100), animal(300, 100 + 7 * i)][: 1 if 10 < i < 20 else 2]
            found.append(see(tracker, i / 30, *poses))
        return [found, tracker.state()]

    assert run(None) == run(15) == run(0) == run(25)


def test_frames_without_anything():
    tracker = Tracker(SIGMAS)
    assert [see(tracker, float(i)) for i in range(3)] == [[], [], []]
    assert see(tracker, 3.0, animal(0, 0)) == [1]


def test_similarity_is_that_of_pycocotools():
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(0)
    truth, found = rng.normal(100, 20, (2, 3, 4, 2))
    areas = np.array([4000.0, 2500.0, 900.0])
    judge = COCOeval(iouType="keypoints")
    judge.params.kpt_oks_sigmas = SIGMAS
    row = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "ignore": 0, "num_keypoints": 4, "score": 1.0}
    full = lambda points: np.column_stack([points, np.full(4, 2)]).reshape(-1).tolist()  # noqa: E731
    rows = zip(truth, areas, strict=True)
    judge._gts = {(1, 1): [{**row, "keypoints": full(p), "area": a, "bbox": [0, 0, 9, 9]} for p, a in rows]}
    judge._dts = {(1, 1): [{**row, "keypoints": full(p)} for p in found]}
    expected = np.asarray(judge.computeOks(1, 1)).T  # detections in rows
    assert pose_similarity(truth, found, areas, SIGMAS) == pytest.approx(expected, abs=1e-6)


def test_overlap_and_doubles():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [40, 40, 5, 5]], float)
    assert box_overlap(boxes, boxes)[0].tolist() == pytest.approx([1, 1 / 3, 0])
    poses = np.stack([animal(100, 100), animal(101, 100), animal(150, 100)])
    around = np.array([[*p.min(0), *np.ptp(p, 0)] for p in poses])
    assert suppress_doubles(poses, around, np.array([0.5, 0.9, 0.7]), SIGMAS, 0.5) == [1, 2]
    assert suppress_doubles(poses[:0], around[:0], np.zeros(0), SIGMAS, 0.5) == []
