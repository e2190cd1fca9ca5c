"""A sheet with the same frames at several moments."""

import numpy as np

from lvtune.viz.overlay import keypoint_colour
from lvtune.viz.progress_sheet import CELL, ProgressSheet, draw_beside_labels

BOX = np.array([100.0, 60.0, 40.0, 40.0])
LABELS = np.array([[110.0, 70.0], [130.0, 90.0], [np.nan, np.nan]])


def frame(value=90):
    return np.full((200, 300, 3), value, np.uint8)


def has(image, colour):
    return bool((np.abs(image.astype(int) - colour).sum(-1) < 30).any())


def test_labels_are_rings_and_predictions_dots():
    predicted = np.array([[110.0, 88.0], [131.0, 91.0], [120.0, 75.0]])
    image = frame()
    drawn = draw_beside_labels(image, LABELS, BOX, predicted)
    assert max(drawn.shape[:2]) == CELL and (image == 90).all()
    assert has(drawn, (255, 255, 255)) and all(has(drawn, keypoint_colour(k)) for k in range(3))
    # the window is that of box and labels: a quarter of 40 px around, 60 px for 240
    ring = drawn[(70 - 50) * 4 - 8 : (70 - 50) * 4 + 9, (110 - 90) * 4 - 8 : (110 - 90) * 4 + 9]
    assert has(ring, (255, 255, 255))


def test_a_prediction_far_away_lies_at_the_edge_and_none_is_left_out():
    far = np.array([[9000.0, 70.0], [np.nan, np.nan], [120.0, 75.0]])
    drawn = draw_beside_labels(frame(), LABELS, BOX, far)
    assert drawn.shape == (CELL, CELL, 3) and has(drawn[:, -12:], keypoint_colour(0))
    assert not has(drawn, keypoint_colour(1))


def test_a_large_frame_is_made_smaller_and_one_at_the_edge_stays_inside():
    wide = draw_beside_labels(np.zeros((900, 1600, 3), np.uint8), LABELS, np.array([0.0, 0, 1600, 900]), LABELS)
    assert wide.shape[1] == CELL and wide.shape[0] < CELL
    at_edge = draw_beside_labels(frame(), np.array([[298.0, 198.0]]), np.array([280.0, 180.0, 40.0, 40.0]),
                                 np.array([[298.0, 198.0]]))  # fmt: skip
    assert has(at_edge, (255, 255, 255))


def test_the_sheet_grows_by_a_row_for_each_moment():
    sheet = ProgressSheet([frame(), frame(40)], [LABELS, LABELS], [BOX, BOX])
    first = sheet.add("step 2", [LABELS + 3, LABELS + 4])
    second = sheet.add("step 5", [LABELS, LABELS])
    assert second.shape[1] == first.shape[1] and second.shape[0] > 1.8 * first.shape[0]
    assert sheet.captions == [["step 2: 4.2 px", "step 2: 5.7 px"], ["step 5: 0.0 px", "step 5: 0.0 px"]]
    assert (second[: first.shape[0] - 12] == first[:-12]).all()  # the rows before stay as they were


def test_a_frame_without_labels_says_so():
    sheet = ProgressSheet([frame()], [np.full((3, 2), np.nan)], [BOX])
    sheet.add("step 1", [LABELS])
    assert sheet.captions == [["step 1: no labels"]]
