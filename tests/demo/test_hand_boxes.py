"""Boxes that are typed or clicked."""

import pytest

from lvtune.core.errors import UsageError
from lvtune.demo.hand_boxes import MOST, box_of_corners, parse_hand_boxes, with_box

SIZE = (200, 100)


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("10, 20, 30, 40", [[10, 20, 30, 40]]),
        (" 10 20 30 40 ;", [[10, 20, 30, 40]]),
        ("[10.5, 20, 30, 40]\n(0,0,5,5)", [[10.5, 20, 30, 40], [0, 0, 5, 5]]),
        ("-10, -10, 50, 50", [[0, 0, 40, 40]]),
        ("150, 50, 500, 500", [[150, 50, 50, 50]]),
    ],
)
def test_boxes_are_read_and_cut_off_at_the_picture(text, boxes):
    assert parse_hand_boxes(text, SIZE).tolist() == boxes


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("", "no box"), (" ; \n", "no box"), ("1,2,3", "box '1,2,3'"), ("1,2,3,4,5", "box"), ("a,b,c,d", "box"),
        ("1,2,nan,4", "box"), ("1,2,inf,4", "box"), ("1,2,0,4", "box"), ("1,2,3,-4", "box"),
        ("200, 0, 10, 10", "outside the picture"), ("-50, 0, 50, 10", "outside the picture"),
        (";".join(["1,1,5,5"] * (MOST + 1)), f"{MOST + 1} boxes"),
    ],
)  # fmt: skip
def test_what_is_no_box_is_told(text, given):
    with pytest.raises(UsageError) as error:
        parse_hand_boxes(text, SIZE)
    assert given in error.value.given and error.value.fix


def test_two_corners_in_any_order_make_the_box():
    for first, second in (((10, 20), (50, 80)), ((50, 80), (10, 20)), ((50, 20), (10, 80))):
        assert parse_hand_boxes(box_of_corners(first, second), SIZE).tolist() == [[10, 20, 40, 60]]
    with pytest.raises(UsageError, match="in one line"):
        box_of_corners((10, 20), (10, 80))


def test_a_further_box_is_put_behind_those_before():
    text = with_box(with_box("", "1, 1, 5, 5"), "2, 2, 6, 6")
    assert parse_hand_boxes(text, SIZE).tolist() == [[1, 1, 5, 5], [2, 2, 6, 6]]
