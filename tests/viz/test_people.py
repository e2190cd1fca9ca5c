"""Many persons over one picture: thin, pale, boxes and numbers, heatmaps, colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lvtune.data.skeletons import COCO_17, Skeleton
from lvtune.viz.overlay import LEFT, MIDDLE, RIGHT
from lvtune.viz.people import DrawnPose, draw_heatmap, draw_poses, keypoint_colours

ARM = Skeleton("arm", ("left_hand", "right_hand", "nose"), (0.1,) * 3, ((0, 1), (0, 2)))


def grey(size=(200, 200)):
    return np.full((size[1], size[0], 3), 128, np.uint8)


def arm(scores=(1, 1, 1), scale=1.0, at=(0, 0), **more):
    points = np.array([[40, 40], [160, 40], [40, 160]], float) * scale + at
    return DrawnPose(points, np.array(scores, float), ARM, **more)


def changed(before, after):
    return int((before != after).any(-1).sum())


def test_colours_are_those_of_the_sides_and_the_picture_stays():
    image = grey()
    drawn = draw_poses(image, [arm()])
    assert tuple(drawn[40, 40]) == LEFT and tuple(drawn[40, 160]) == RIGHT and tuple(drawn[160, 40]) == MIDDLE
    # a thin line is blended with its rim at the edges
    named = {LEFT: "left", RIGHT: "right", MIDDLE: "middle"}
    closest = lambda pixel: named[min(named, key=lambda one: np.abs(np.subtract(one, pixel.astype(int))).sum())]  # noqa: E731
    assert (closest(drawn[100, 40]), closest(drawn[40, 100])) == ("left", "middle")
    assert (image == 128).all()


def test_colours_can_be_told_apart_without_red_or_green_cones():
    """Machado et al. 2009, severity 1: matrices for protanopia, deuteranopia and tritanopia, in linear RGB."""
    matrices = np.array([
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ])  # fmt: skip
    colours = (np.array([LEFT, RIGHT, MIDDLE]) / 255) ** 2.2
    for matrix in matrices:
        seen = 255 * np.clip(colours @ matrix.T, 0, 1) ** (1 / 2.2)
        lab = cv2.cvtColor(seen[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
        distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(3, 1)]
        assert (
            distance.min() > 10
        )  # four times what an eye just notices (2.3); the least is 16, blue and green without blue cones


def test_small_persons_get_thin_lines():
    large, small = draw_poses(grey((800, 800)), [arm(scale=4)]), draw_poses(grey(), [arm(scale=0.3)])
    assert (large[150:170, 400] != 128).any(-1).sum() > 5
    column = (small[5:20, 30] != 128).any(-1).sum()
    assert 1 <= column <= 3


def test_what_is_unsure_is_pale_and_what_is_below_the_threshold_is_not_drawn():
    sure, unsure = draw_poses(grey(), [arm()]), draw_poses(grey(), [arm((0.3, 0.3, 0.3))])
    strength = [np.abs(drawn[40, 40].astype(int) - 128).sum() for drawn in (sure, unsure)]
    assert 0 < strength[1] < 0.7 * strength[0]
    assert changed(grey(), draw_poses(grey(), [arm((0.1, 0.1, 0.1))])) == 0
    assert changed(grey(), draw_poses(grey(), [arm((0.3, 0.3, 0.3))], threshold=0.5)) == 0
    assert tuple(draw_poses(grey(), [arm((1, 1, 0.1))])[160, 40]) == (128, 128, 128)


def test_boxes_and_labels_have_the_persons_colour_and_stay_inside():
    first = draw_poses(grey(), [arm(box=(20, 30, 100, 120), label="1", number=0)])
    second = draw_poses(grey(), [arm(box=(20, 30, 100, 120), label="1", number=1)])
    assert tuple(first[100, 20]) != tuple(second[100, 20]) and (first[100, 20] != 128).any()
    edge = draw_poses(grey(), [arm(box=(-5, -5, 100, 120), label="12 0.99"), arm(label="2", at=(150, 190))])
    assert edge.shape == (200, 200, 3)
    plain = draw_poses(grey(), [arm()])
    assert changed(plain, first) > 200


@pytest.mark.parametrize("points", [np.full((3, 2), np.nan), np.full((3, 2), 1e9), np.full((3, 2), -50.0)])
def test_points_far_outside_change_nothing_and_break_nothing(points):
    assert changed(grey(), draw_poses(grey(), [DrawnPose(points, np.ones(3), ARM, label="1")])) < 600


def test_a_skeleton_without_sides_has_a_colour_for_each_key_point():
    bug = Skeleton("bug", ("head", "thorax", "tail"), (0.1,) * 3)
    assert len(set(keypoint_colours(bug))) == 3
    assert set(keypoint_colours(COCO_17)) == {LEFT, RIGHT, MIDDLE}


def test_a_heatmap_lies_where_the_crop_was():
    values = np.zeros((16, 12), np.float32)
    values[8, 6] = 1
    center, scale = np.array([100.0, 80.0]), np.array([60.0, 80.0])
    drawn = draw_heatmap(grey(), values, center, scale)
    weight = np.abs(drawn.astype(int) - 128).sum(-1)
    y, x = np.unravel_index(weight.argmax(), weight.shape)
    assert (x, y) == (pytest.approx(100 - 30 + 60 * 6 / 11, abs=2), pytest.approx(80 - 40 + 80 * 8 / 15, abs=2))
    assert (weight[:, 150:] == 0).all() and draw_heatmap(grey(), values * 0, center, scale).tolist() == grey().tolist()
