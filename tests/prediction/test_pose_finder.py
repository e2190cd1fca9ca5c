"""`--find pose`: windows, boxes around points, following in a video; on an estimator whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lvtune.data.skeletons import Skeleton
from lvtune.prediction.array_source import ArraySource
from lvtune.prediction.finder import Found
from lvtune.prediction.finder_choice import FinderNeeds, open_finder
from lvtune.prediction.frames import Frame
from lvtune.prediction.pose import Pose
from lvtune.prediction.pose_finder import PoseFinder
from lvtune.prediction.predict_options import make_options
from lvtune.prediction.search_windows import box_of, clipped, overlap, windows
from lvtune.prediction.video_options import VideoOptions

BUG = Skeleton("bug", ("head", "left", "right", "tail"), (0.1,) * 4)
SHAPE = np.array([[0, -20], [-15, 0], [15, 0], [0, 20]], float)


def frame(index, size=(640, 480)):
    return Frame(index, Path(f"{index}"), np.zeros((size[1], size[0], 3), np.uint8))


class Estimator:
    """Sees an animal well where a crop holds it whole at about its own size, poorly where the crop is much larger."""

    def __init__(self, places):
        self.places, self.crops = places, 0

    def __call__(self, frames, found):
        return [[self.pose(one, box) for box in boxes.boxes] for one, boxes in zip(frames, found, strict=True)]

    def pose(self, one, box):
        self.crops += 1
        best = 0.1, np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])
        for center in self.places(one.index):
            inside = (center - 21 >= box[:2] - 8).all() and (center + 21 <= box[:2] + box[2:] + 8).all()
            size = max(box[2:]) / 45
            score = (0.9 if size < 2 else 0.6 if size < 4 else 0.15) * inside * (1 if size > 0.7 else 0.3)
            best = max(best, (score, center), key=lambda found: found[0])
        return Pose(one.image, tuple(box), best[1] + SHAPE, np.full(4, best[0]), BUG)


def centers(found):
    return [np.round([box[0] + box[2] / 2, box[1] + box[3] / 2]).tolist() for box in found.boxes]


SHARE = 45 * 45 / (640 * 480)


@pytest.mark.parametrize("place", [(30, 30), (320, 240), (610, 450), (97, 333)])
@pytest.mark.parametrize("size", [(640, 480), (480, 640), (400, 2000)])
def test_an_animal_is_found_wherever_it_is(place, size):
    center = np.minimum(place, np.array(size) - 25).astype(float)
    share = 45 * 45 / (size[0] * size[1])
    (found,) = PoseFinder(share).find([frame(0, size)], Estimator(lambda _: [center]))
    assert len(found.boxes) == 1 and np.abs(np.array(centers(found)[0]) - center).max() <= 8
    assert found.poses[0].scores.mean() == 0.9


def test_without_a_known_size_smaller_and_smaller_windows_are_tried():
    estimator = Estimator(lambda _: [np.array([300.0, 100.0])])
    (found,) = PoseFinder(None).find([frame(0, (200, 150))], Estimator(lambda _: [np.array([100.0, 70.0])]))
    assert len(found.boxes) == 1
    (far,) = PoseFinder(None).find([frame(0, (640, 480))], estimator)
    assert len(far.boxes) == 1 and estimator.crops > 10


def test_nothing_is_found_where_nothing_is():
    (found,) = PoseFinder(SHARE).find([frame(0)], Estimator(lambda _: []))
    assert len(found.boxes) == 0 and found.poses == ()


def test_several_are_found_if_they_are_asked_for():
    places = [np.array([100.0, 100.0]), np.array([500.0, 300.0])]
    for most, expected in ((1, 1), (2, 2), (3, 2)):
        (found,) = PoseFinder(SHARE, most).find([frame(0)], Estimator(lambda _: places))
        assert len(found.boxes) == expected
    assert sorted(centers(found)) == [pytest.approx(place, abs=8) for place in ([100, 100], [500, 300])]


def follow(finder, estimator, count, at_once=8, start=0):
    found = []
    for first in range(start, count, at_once):
        frames = [frame(index) for index in range(first, min(count, first + at_once))]
        for one, boxes in zip(frames, finder.find(frames, estimator), strict=True):
            found.append(boxes)
            finder.observe(replace(one, pixels=None, known_size=one.size), boxes.poses)
    return found


def walk(index):
    return [np.array([60 + 4.0 * index, 200 + 60 * np.sin(index / 9)])]


def straight(index):
    return [np.array([60 + 4.0 * index, 200.0])]


@pytest.mark.parametrize(("way", "most"), [(straight, 1.2), (walk, 2.0)], ids=["straight", "it turns fast"])
def test_in_a_video_the_box_follows_the_points_at_few_crops_a_frame(way, most):
    estimator = Estimator(way)
    finder = PoseFinder(SHARE, follows=True)
    first = follow(finder, estimator, 16)
    searched = estimator.crops
    assert searched < 200  # the first frame is searched as a whole
    found = first + follow(finder, estimator, 120, start=16)
    errors = [np.abs(boxes.poses[0].keypoints - way(i)[0] - SHAPE).max() for i, boxes in enumerate(found)]
    assert len(found) == 120
    assert max(errors) < 1e-6
    assert estimator.crops - searched <= (120 - 16) * most


def test_an_animal_that_is_lost_is_searched_again():
    gone = lambda index: [] if 20 <= index < 30 else ([np.array([500.0, 400.0])] if index >= 30 else walk(index))  # noqa: E731
    found = follow(PoseFinder(SHARE, follows=True), Estimator(gone), 50)
    assert [len(boxes.boxes) for boxes in found] == [1] * 20 + [0] * 10 + [1] * 20
    assert centers(found[-1])[0] == pytest.approx([500, 400], abs=8)


def test_a_pose_that_shrinks_to_a_spot_is_lost_and_searched_again():
    """Little by little, so that each score and each box is near enough to the one before."""

    class Drifting(Estimator):
        def pose(self, one, box):
            found = super().pose(one, box)
            share = 0.85 ** max(0, one.index - 20)
            near = np.array([140.0, 200.0])
            if one.index < 20 or not (box[:2] <= near).all() or not (near <= box[:2] + box[2:]).all():
                return found
            score = np.full(4, max(0.45, 0.9 * 0.95 ** (one.index - 20)))
            return replace(found, keypoints=near + share * SHAPE, scores=score, raw_scores=score)

    where = lambda index: straight(index) if index < 20 else [np.array([500.0, 400.0])]  # noqa: E731
    found = follow(PoseFinder(SHARE, follows=True), Drifting(where), 80)
    assert all(len(boxes.boxes) == 1 for boxes in found)
    assert centers(found[-1])[0] == pytest.approx([500, 400], abs=8)
    sizes = [np.ptp(np.asarray(boxes.poses[0].keypoints), axis=0).max() for boxes in found]
    assert min(sizes) > 0.2 * 40


def test_points_on_a_line_are_no_spot():
    flat = Skeleton("worm", ("head", "tail"), (0.1, 0.1))

    class Worm(Estimator):
        def pose(self, one, box):
            found = super().pose(one, box)
            middle = np.asarray(found.keypoints).mean(0)
            score = np.full(2, float(found.peaks[0]))
            return Pose(one.image, tuple(box), middle + np.array([[-20.0, 0], [20, 0]]), score, flat)

    found = follow(PoseFinder(SHARE, follows=True), Worm(straight), 80)
    assert all(len(boxes.boxes) == 1 for boxes in found)


def test_a_finder_that_was_told_the_finished_frames_goes_on_as_the_one_that_saw_them():
    whole = follow(PoseFinder(SHARE, follows=True), Estimator(walk), 48)
    late = PoseFinder(SHARE, follows=True)
    for index in range(24):
        late.observe(Frame(index, Path(f"{index}"), None, known_size=(640, 480)), whole[index].poses)
    for start in (24, 32, 40):
        frames = [frame(index) for index in range(start, start + 8)]
        for one, boxes in zip(frames, late.find(frames, Estimator(walk)), strict=True):
            np.testing.assert_array_equal(boxes.boxes, whole[one.index].boxes)
            late.observe(one, boxes.poses)


@pytest.mark.parametrize(("size", "side"), [((640, 480), 250), ((480, 640), 250), ((100, 1000), 90), ((50, 40), 300)])
def test_windows_cover_the_frame_and_overlap_by_half(size, side):
    tiles = windows(size, side)
    assert (tiles[:, :2] >= -1e-9).all() and (tiles[:, :2] + tiles[:, 2:] <= np.array(size) + 1e-9).all()
    rng = np.random.default_rng(0)
    half = min(side, *size) / 2
    for low in rng.uniform(0, 1, (50, 2)) * (np.array(size) - half):
        assert ((tiles[:, :2] <= low + 1e-6) & (low + half <= tiles[:, :2] + tiles[:, 2:] + 1e-6)).all(1).any()


def test_boxes_are_made_of_sure_points_alone():
    points = np.array([[10.0, 10], [50, 30], [500, 400], [np.nan, 3]])
    box = box_of(points, np.array([0.9, 0.8, 0.2, 0.9]), 0.5, 0.2)
    assert box[0] < 10
    assert 50 < box[0] + box[2] < 100
    assert box_of(points, np.array([0.9, 0.1, 0.1, 0.1]), 0.5, 0.2) is None
    assert box_of(points[:1], np.array([0.9]), 0.5, 0.2) is not None  # a skeleton of one point
    assert clipped(np.array([-10.0, -10, 30, 40]), (100, 80)).tolist() == [0, 0, 20, 30]
    assert clipped(np.array([-50.0, 0, 20, 20]), (100, 80)) is None
    assert overlap([0, 0, 10, 10], [5, 0, 10, 10]) == pytest.approx(1 / 3)
    assert overlap([0, 0, 10, 10], [20, 0, 10, 10]) == 0 and Found.nothing().poses == ()


@pytest.mark.parametrize(("options", "most"), [
    ({}, 1), ({"most": 3}, 3), ({"video": VideoOptions(individuals=2)}, 2),
    ({"most": 3, "video": VideoOptions(individuals=2)}, 3),
])  # fmt: skip
def test_a_known_number_of_animals_is_how_many_are_looked_for(options, most):
    source = ArraySource([np.zeros((9, 9, 3), np.uint8)])
    needs = FinderNeeds(make_options({"find": "pose", **options}), source, BUG, [], "cpu")
    assert open_finder(needs).most == most
