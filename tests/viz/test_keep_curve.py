"""The report's section on ``--keep``: every point of the curve is in it, and what was taken is marked once."""

import pytest

from lvtune.viz.keep_curve import keep_curve


def found(**given):
    curve = [
        {
            "share": share, "late": 1.0, "source": 50 - 2 * share, "target": 30 + share, "kept": 1 - 0.04 * share,
            "moved": 0.1 * share, "expected": 1 - 0.05 * share, "chance": 0.01,
        }
        for share in (0.0, 1.0, 0.5)
    ]  # fmt: skip
    others = [{**curve[1], "late": 0.5, "source": 49.9, "target": 30.9}]
    values = {
        "asked": 99, "share": 0.5, "late": 1.0, "holds": True, "runs": 1, "metric": "pck@0.2", "curve": curve,
        "others": others,
        "source": "photographs", "labels": True, "source_pictures": 20, "target_pictures": 10, "replay": None,
    }  # fmt: skip
    return values | given


def rows(section):
    return [[str(cell.text) for cell in row] for row in section.table.groups[0].rows]


@pytest.mark.parametrize(
    ("given", "taken", "words"),
    [
        ({}, "50% (taken)", "largest share"),
        ({"share": 1.0}, "100% (taken)", "All of the change"),
        ({"share": 1.0, "late": 0.5}, "100%, 0.5 of it late (taken)", "0.5 of that in the last third of the blocks"),
        ({"largest": 0.7}, "50% (taken)", "70% would hold too, and this is no worse for the target"),
        ({"holds": False}, "50% (taken)", "no share is expected to hold it"),
    ],
)
def test_what_is_taken_is_marked_once_and_said(given, taken, words):
    section = keep_curve(found(**given))
    labels = [row[0] for row in rows(section)]
    assert len(labels) == 4 and [label for label in labels if "(taken)" in label] == [taken]
    assert words in section.text and "<svg" in section.chart
    assert rows(section)[1][3:] == ["96.0 %", "10.0 %", "95.0 % ± 1.0 %"]


def test_points_that_moved_are_left_out_where_they_were_not_counted():
    given = found()
    for point in (*given["curve"], *given["others"]):
        point["moved"] = None
    section = keep_curve(given)
    assert "points moved" not in section.text and rows(section)[1][4] == ""


def test_what_was_replayed_and_what_stands_in_for_labels_is_said():
    replay = {"pictures": 7, "answers": "base", "from": "photographs", "every": 2, "weight": 3.0}
    section = keep_curve(found(replay=replay, labels=False))
    assert "7 further pictures" in section.text and "base's own answers on the named pictures" in section.text
    assert "No picture of the source was replayed" in keep_curve(found()).text


def test_without_it_there_is_no_section():
    assert keep_curve(None) is None and keep_curve({"curve": []}) is None
