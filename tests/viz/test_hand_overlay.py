"""Hands drawn: each finger in its colour where it belongs, and in space."""

import numpy as np

from lvtune.viz.hand_overlay import FINGERS, draw_hand, plot_hand


def spread(size):
    """A flat hand, fingers fanned out upwards from below."""
    points = np.zeros((21, 2))
    points[0] = size * 0.5, size * 0.9
    for finger in range(5):
        angle = np.deg2rad(-50 + 25 * finger)
        for joint in range(4):
            reach = size * (0.2 + 0.1 * joint)
            points[1 + 4 * finger + joint] = points[0] + reach * np.array([np.sin(angle), -np.cos(angle)])
    return points


def test_fingers_have_their_colours_and_the_picture_stays():
    image = np.zeros((200, 200, 3), np.uint8)
    points = spread(200)
    drawn = draw_hand(image, points)
    assert image.max() == 0 and drawn.shape == image.shape
    for finger, colour in enumerate(FINGERS):
        x, y = points[3 + 4 * finger].round().astype(int)
        assert tuple(drawn[y, x]) == colour
        x, y = ((points[3 + 4 * finger] + points[4 + 4 * finger]) / 2).round().astype(int)
        assert tuple(drawn[y, x]) == colour  # the bone between two joints
    assert drawn[5, 5].max() == 0


def test_small_pictures_grow_and_joints_that_are_nowhere_are_left_out():
    points = spread(50)
    points[4] = np.nan
    points[8] = 1e9, 3
    drawn = draw_hand(np.zeros((50, 40, 3), np.uint8), points, longest=200)
    assert drawn.shape == (200, 160, 3)
    assert (drawn == FINGERS[2]).all(-1).any()


def test_a_plot_shows_prediction_and_truth():
    xyz = np.concatenate([spread(100), np.linspace(0, 30, 21)[:, None]], 1)
    alone, both = plot_hand(xyz, 300), plot_hand(xyz, 300, truth=xyz + np.array([0, 0, 40.0]))
    assert alone.shape == (300, 300, 3) and alone.dtype == np.uint8

    def near(picture, colour):
        return (np.abs(picture.astype(int) - colour).max(-1) < 12).sum()

    for colour in FINGERS:
        assert near(alone, colour) > 30 and near(both, colour) > 20
    grey = tuple(round(255 * v) for v in (0.6, 0.6, 0.62))
    assert near(both, grey) > near(alone, grey) + 50
    assert np.array_equal(alone, plot_hand(xyz, 300))
