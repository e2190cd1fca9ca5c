"""The report's section on ``--keep``: every point of the curve is in it, and what was taken is marked once."""

import pytest

from lvtune.viz.keep_curve import keep_curve


def found(**given):
    curve = [
        {"share": share, "source": 50 - 2 * share, "target": 30 + share, "kept": 1 - 0.04 * share, "chance": 0.01}
        for share in (0.0, 1.0, 0.5)
    ]
    parts = [{"share": 1.0, "left_out": "early blocks", "source": 49.9, "target": 30.9, "kept": 0.998, "chance": 0.0}]
    values = {
        "asked": 99, "share": 0.5, "left_out": None, "holds": True, "metric": "pck@0.2", "curve": curve, "parts": parts,
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
        (
            {"share": 1.0, "left_out": "early blocks"},
            "without early blocks (taken)",
            "without that of the early blocks",
        ),
        ({"holds": False}, "50% (taken)", "no share holds it"),
    ],
)
def test_what_is_taken_is_marked_once_and_said(given, taken, words):
    section = keep_curve(found(**given))
    labels = [row[0] for row in rows(section)]
    assert len(labels) == 4 and [label for label in labels if "(taken)" in label] == [taken]
    assert words in section.text and "<svg" in section.chart


def test_what_was_replayed_and_what_stands_in_for_labels_is_said():
    replay = {"pictures": 7, "answers": "base", "from": "photographs", "every": 2, "weight": 3.0}
    section = keep_curve(found(replay=replay, labels=False))
    assert "7 further pictures" in section.text and "base's own answers on the named pictures" in section.text
    assert "No picture of the source was replayed" in keep_curve(found()).text


def test_without_it_there_is_no_section():
    assert keep_curve(None) is None and keep_curve({"curve": []}) is None
