"""Poses that jump in a single frame are looked at again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lvtune.data.skeletons import Skeleton
from lvtune.prediction.frames import Frame
from lvtune.prediction.jumps import distance, without_jumps
from lvtune.prediction.pose import Pose

SKELETON = Skeleton("mouse", ("snout", "neck", "tail"), (0.1, 0.1, 0.1))
FRAMES = [Frame(i, Path(f"v/{i}"), np.zeros((8, 8, 3), np.uint8)) for i in range(4)]


def mouse(x: float, *, flipped: bool = False, score: float = 0.9, tail: float = 0.9) -> Pose:
    points = np.array([[x, 10], [x + 20, 10], [x + 100, 10]], float)
    scores = np.array([score, score, min(score, tail)])
    return Pose("v", (x - 10, 0, 120, 40), points[::-1] if flipped else points, scores, SKELETON)


def run(poses, again, last=()):
    asked = []

    def look_at(frame, some):
        asked.append((frame.index, [one.keypoints[0, 0] for one in some]))
        return again

    return without_jumps(FRAMES, poses, last, look_at), asked


def test_a_flipped_pose_is_replaced_by_what_is_found_around_its_neighbours():
    poses = [[mouse(0)], [mouse(3, flipped=True)], [mouse(6)], [mouse(9)]]
    found, asked = run(poses, [mouse(3, flipped=True), mouse(4)])
    assert asked == [(1, [0.0, 6.0])]
    assert [some[0].keypoints[0, 0] for some in found] == [0, 4, 6, 9]


def test_nothing_is_made_up_where_nothing_better_is_found():
    poses = [[mouse(0)], [mouse(3, flipped=True)], [mouse(6)], [mouse(9)]]
    for again in ([], [mouse(90)], [mouse(3, score=0.3)]):
        found, _ = run(poses, again)
        assert found[1][0] is poses[1][0]


def test_the_first_frame_of_a_chunk_is_compared_with_the_last_of_the_one_before():
    poses = [[mouse(3, flipped=True)], [mouse(6)], [], [mouse(9)]]
    found, asked = run(poses, [mouse(4)], last=[mouse(0)])
    assert asked[0] == (0, [0.0, 6.0]) and found[0][0].keypoints[0, 0] == 4
    assert run(poses, [mouse(4)])[1][0][0] == 1  # without a frame before, the first one is taken as it is


def test_what_moves_slowly_or_is_not_sure_is_left_alone():
    hidden = mouse(3, tail=0.1)
    hidden.keypoints[2] = (500, 500)
    poses = [[mouse(0)], [mouse(30)], [mouse(60)], [mouse(60)]]
    assert run(poses, [])[1] == []
    assert distance(mouse(0), hidden) == pytest.approx(3 / 120)
    assert run([[mouse(0)], [hidden], [mouse(4)], []], [])[1] == []
