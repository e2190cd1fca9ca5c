"""The augmentation of own data: chosen from the labels, described, and kept from turning points out of the picture."""

from dataclasses import replace

import numpy as np
import pytest

from lvtune.data.augment import Augment
from lvtune.data.augment_choice import MOST_OUTSIDE, choose_augment, describe, kept_in_sight, share_outside
from lvtune.data.crop import box_to_center_scale, fix_aspect, to_input, udp_matrix
from lvtune.data.label_statistics import LabelStatistics
from lvtune.data.skeletons import LSP_14

LABELS = LabelStatistics(90, 4, True, True, (175.0, 90.0), 13.0, 20.0, False)
STILL = Augment(0, 0, 0, 0, (1, 1), 0, 0)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"turn": 78.0}, {"rotate": 180.0, "rotate_p": 1.0, "flip": 0.5, "around": "box"}),
        ({"turn": 20.0}, {"rotate": 30.0, "rotate_p": 0.6}),
        ({"turn": 0.0, "has_sides": False}, {"rotate": 5.0, "flip": 0.0}),
        ({"turn": 0.0, "mirrors_alike": False}, {"rotate": 5.0, "flip": 0.0}),
        ({"is_whole_frame": True}, {"scale": (0.8, 1.05), "around": "points"}),
    ],
)
def test_the_labels_decide(labels, expected):
    chosen = choose_augment(replace(LABELS, **labels))
    assert {name: chosen[name] for name in expected} == expected
    assert Augment(half_body=0, **chosen)


def test_every_choice_is_described_but_what_the_user_set():
    augment = Augment(half_body=0, **choose_augment(replace(LABELS, turn=90.0)))
    lines = describe(augment, LABELS, ())
    assert [line.what for line in lines] == ["rotation", "mirrored pictures", "scale", "shift"]
    assert lines[0].value == "all round, around the centre of the box" and "left and right" in lines[1].why
    assert [line.what for line in describe(augment, LABELS, {"rotate", "scale"})] == ["mirrored pictures", "shift"]


def test_where_labels_are_few_more_turns_are_taken_than_were_seen_and_that_is_said():
    few = replace(LABELS, instances=10, turn=31.0)
    chosen = choose_augment(few)
    assert chosen["rotate"] == 180.0 and choose_augment(replace(few, instances=20))["rotate"] == 44.0
    line = describe(Augment(half_body=0, **chosen), few, ())[0].line()
    assert "turned by up to 31 degrees, and 10 labels may not show all: 62 are taken, so" in line
    assert "every direction" in line
    assert choose_augment(replace(few, turn=4.0))["rotate"] == 15.0  # who stands still in all of them is still


def test_why_pictures_are_not_mirrored():
    augment = Augment(half_body=0, **choose_augment(replace(LABELS, mirrors_alike=False)))
    why = {line.what: line.why for line in describe(augment, replace(LABELS, mirrors_alike=False), ())}
    assert why["mirrored pictures"] == "no label looks like a mirrored label"
    why = {line.what: line.why for line in describe(augment, replace(LABELS, has_sides=False), ())}
    assert "no key points" in why["mirrored pictures"]


def sample(box=(0.0, 0.0, 640.0, 480.0), points=((20, 20), (60, 25), (40, 60))):
    keypoints = np.zeros((14, 3))
    for row, point in zip(keypoints, points, strict=False):
        row[:] = (*point, 2)
    return keypoints, np.array(box)


def test_nothing_is_outside_without_augmentation():
    assert share_outside(STILL, [sample()], LSP_14, (128, 128)) == 0.0


def test_a_mouse_by_the_wall_is_turned_out_of_the_frame_unless_it_turns_on_the_spot():
    turning = replace(STILL, rotate=180.0, rotate_p=1.0)
    assert share_outside(turning, [sample()], LSP_14, (96, 128)) > 0.2
    assert share_outside(replace(turning, around="points"), [sample()], LSP_14, (96, 128)) == 0.0


def test_points_turn_around_their_middle_and_stay_apart():
    keypoints, box = sample()
    center, scale = box_to_center_scale(box)
    augment = replace(STILL, rotate=120.0, rotate_p=1.0, around="points")
    drawn = augment.sample(np.random.default_rng(0), keypoints, center, scale, LSP_14)
    assert drawn.rotation_deg != 0
    size = (480, 640)
    before = to_input(keypoints[:3, :2], udp_matrix(center, fix_aspect(scale, size), 0.0, size))
    after = to_input(keypoints[:3, :2], udp_matrix(drawn.center, fix_aspect(scale, size), drawn.rotation_deg, size))
    pivot = to_input((keypoints[:3, :2].min(0) + keypoints[:3, :2].max(0)) / 2, udp_matrix(center, scale, 0.0, size))
    moved = to_input(
        (keypoints[:3, :2].min(0) + keypoints[:3, :2].max(0)) / 2,
        udp_matrix(drawn.center, scale, drawn.rotation_deg, size),
    )
    np.testing.assert_allclose(moved, pivot, atol=1e-2)
    pairs = [np.linalg.norm(p[:, None] - p[None], axis=-1) for p in (before, after)]
    np.testing.assert_allclose(pairs[0], pairs[1], rtol=5e-3, atol=0.05)


def test_an_instance_without_points_turns_around_its_box():
    keypoints, box = sample(points=())
    center, scale = box_to_center_scale(box)
    augment = replace(STILL, rotate=120.0, rotate_p=1.0, around="points")
    assert np.array_equal(augment.sample(np.random.default_rng(0), keypoints, center, scale, LSP_14).center, center)


def test_it_is_weakened_until_the_points_stay_in_sight():
    corners = [sample((0, 0, 100, 100), ((1, 1), (99, 1), (1, 99), (99, 99)))]
    wild = Augment(flip=0, half_body=0, shift=0.3, shift_p=1.0, scale=(0.4, 1.2), rotate=40.0, rotate_p=1.0)
    outside = lambda augment: share_outside(augment, corners, LSP_14, (128, 128))  # noqa: E731
    found, share = kept_in_sight(wild, outside)
    assert outside(wild) > 0.3 and share <= MOST_OUTSIDE and share == outside(found)
    assert found.scale[0] > 0.4 and found.scale[1] == 1.2 and found.shift < 0.3


def test_who_stands_one_way_is_turned_less_rather_than_always_seen_at_one_size():
    """A narrow crop loses its corners as soon as it turns: size and place must not pay for that alone."""
    person = [sample((0, 0, 50, 120), ((5, 5), (45, 5), (5, 115), (45, 115)))]
    outside = lambda augment: share_outside(augment, person, LSP_14, (128, 64))  # noqa: E731
    wild = Augment(flip=0, half_body=0, shift=0.05, shift_p=0.5, scale=(0.85, 1.15), rotate=70.0, rotate_p=0.6)
    found, share = kept_in_sight(wild, outside)
    assert outside(wild) > MOST_OUTSIDE >= share
    assert 0 < found.rotate < 70 and found.shift > 0 and found.scale[0] < 1
    assert found.rotate / 70 == pytest.approx(found.shift / 0.05)


def test_who_faces_every_way_is_turned_all_round_as_long_as_it_can_be():
    corners = [sample((0, 0, 100, 100), ((15, 15), (85, 15), (15, 85), (85, 85)))]
    outside = lambda augment: share_outside(augment, corners, LSP_14, (128, 128))  # noqa: E731
    wild = Augment(flip=0, half_body=0, shift=0.3, shift_p=1.0, scale=(0.7, 1.2), rotate=180.0, rotate_p=1.0)
    found, share = kept_in_sight(wild, outside)
    assert outside(wild) > MOST_OUTSIDE >= share and found.rotate == 180.0


def test_what_the_user_set_is_not_weakened():
    corners = [sample((0, 0, 100, 100), ((1, 1), (99, 1), (1, 99), (99, 99)))]
    wild = Augment(flip=0, half_body=0, shift=0.3, shift_p=1.0, scale=(0.4, 1.2), rotate=40.0, rotate_p=1.0)
    outside = lambda augment: share_outside(augment, corners, LSP_14, (128, 128))  # noqa: E731
    found, share = kept_in_sight(wild, outside, ("shift",))
    assert (found.scale, found.rotate) == (wild.scale, 40.0) and found.shift < 0.3 and share < outside(wild)
    assert kept_in_sight(wild, outside, ()) == (wild, outside(wild))
