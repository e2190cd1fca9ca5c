"""Skeletons land on the right pixels in the right colours."""

import numpy as np
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import COCO_17, LSP_14, Skeleton
from lvtune.viz.overlay import LEFT, MIDDLE, RIGHT, contact_sheet, draw_pose, enlarge, sides

ARM = Skeleton("arm", ("left_wrist", "right_wrist", "nose"), (0.1,) * 3, ((0, 1), (0, 2)))
POINTS = np.array([[20.0, 20.0], [80.0, 20.0], [50.0, 80.0]])


def grey(height=100, width=100):
    return np.full((height, width, 3), 128, np.uint8)


def at(image, x, y):
    return tuple(int(v) for v in image[round(y), round(x)])


def test_points_and_links_in_the_colours_of_their_side():
    image = grey()
    drawn = draw_pose(image, POINTS, np.ones(3), ARM)
    assert [at(drawn, *point) for point in POINTS] == [LEFT, RIGHT, MIDDLE]
    assert at(drawn, 50, 20) == MIDDLE, "a link from left to right"
    assert at(drawn, 35, 50) == LEFT, "a link from left to middle"
    assert at(drawn, 65, 50) == (128, 128, 128)
    assert (image == 128).all()


def test_left_and_right_are_read_off_the_names():
    assert [sides(COCO_17)[i] for i in (0, 5, 6)] == ["middle", "left", "right"]
    assert sides(LSP_14)[:6] == ("right",) * 3 + ("left",) * 3
    named = Skeleton("n", ("l_eye", "r_eye", "hand_left", "hand_right", "tail", "left_horn"), (0.1,) * 6)
    assert sides(named) == ("left", "right", "left", "right", "middle", "middle")


def test_low_scores_are_left_out_with_their_links():
    drawn = draw_pose(grey(), POINTS, np.array([0.19, 0.2, np.nan]), ARM, threshold=0.2)
    assert at(drawn, 80, 20) == RIGHT
    assert (drawn[:, :70] == 128).all()
    assert at(draw_pose(grey(), POINTS, None, ARM), 20, 20) == LEFT


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -2e5])
def test_impossible_points_are_left_out(bad):
    points = POINTS.copy()
    points[0, 0] = bad
    drawn = draw_pose(grey(), points, np.ones(3), ARM)
    assert at(drawn, 80, 20) == RIGHT
    assert at(drawn, 50, 20) == (128, 128, 128)


def test_lines_follow_the_size_of_the_person():
    def width(size):
        points = POINTS * size / 100
        column = draw_pose(grey(size, size), points, np.ones(3), ARM)[:, size // 2]
        return int((column != 128).any(-1).sum())

    assert width(100) < width(500) < width(2000)
    small = draw_pose(grey(500, 500), POINTS, np.ones(3), ARM, bbox=(0, 0, 40, 60))
    assert int((small[:, 50] != 128).any(-1).sum()) < width(500)


def test_small_pictures_grow_and_large_ones_stay():
    image, points = enlarge(grey(50, 100), np.array([[-0.5, -0.5], [99.5, 49.5]]), 400)
    assert image.shape == (200, 400, 3)
    assert points.tolist() == [[-0.5, -0.5], [399.5, 199.5]], "the corners of the picture stay its corners"
    assert enlarge(grey(50, 500), points, 400)[0].shape == (50, 500, 3)
    drawn = draw_pose(grey(), POINTS, np.ones(3), ARM, longest=400)
    assert drawn.shape == (400, 400, 3)
    assert at(drawn, 81.5, 81.5) == LEFT


@pytest.mark.parametrize(
    ("image", "points", "scores"),
    [
        (np.zeros((9, 9), np.uint8), POINTS, np.ones(3)),
        (np.zeros((9, 9, 3)), POINTS, np.ones(3)),
        (np.zeros((0, 9, 3), np.uint8), POINTS, np.ones(3)),
        (grey(), POINTS[:2], np.ones(3)),
        (grey(), POINTS, np.ones(2)),
    ],
)
def test_shapes_that_do_not_fit(image, points, scores):
    with pytest.raises(LvtuneError, match="'arm'"):
        draw_pose(image, points, scores, ARM)


def test_sheet_places_each_picture_in_its_cell():
    red, blue = (np.full((40, 20, 3), 0, np.uint8) for _ in range(2))
    red[..., 0], blue[..., 2] = 255, 255
    sheet = contact_sheet([[red, blue], [blue]], cell=80, gap=10)
    assert sheet.shape == (2 * 80 + 3 * 10, 2 * 80 + 3 * 10, 3)
    assert [at(sheet, 50, 50), at(sheet, 140, 50), at(sheet, 50, 140)] == [
        (255, 0, 0),
        (0, 0, 255),
        (0, 0, 255),
    ]
    assert at(sheet, 140, 140) == at(sheet, 15, 50) == (255, 255, 255)
    with_words = contact_sheet([[red, blue]], [["before", "größer als " * 30]], cell=80, gap=10)
    assert with_words.shape == (80 + 24 + 20, 190, 3)
    assert (with_words[92:112, 10:90] < 100).any()
    assert (with_words[:, 181:] == 255).all(), "words too long are cut to their cell"


@pytest.mark.parametrize(("rows", "captions"), [([], None), ([[]], None), ([[grey()]], [["a", "b"]])])
def test_sheet_of_nothing(rows, captions):
    with pytest.raises(LvtuneError, match="pictures in rows"):
        contact_sheet(rows, captions)
