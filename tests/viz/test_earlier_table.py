"""The report's table of earlier domains."""

from lvtune.viz.earlier_table import earlier_table


def test_a_row_for_each_domain_with_what_was_lost_or_not_scored():
    after = {
        "metric": "pck@0.2", "domains": [{"domain": "old", "before": 50.0, "after": 48.0}],
        "new": {"domain": "fresh", "before": 20.0, "after": 30.0}, "missing": {"gone": "no folder"},
    }  # fmt: skip
    table = earlier_table(after)
    rows = [[cell.text for cell in row] for row in table.groups[0].rows]
    assert [row[0] for row in rows] == ["old", "fresh (new)", "gone"] and "no folder" in rows[2][1]
    assert [row[3].kind for row in table.groups[0].rows[:2]] == ["down", "up"]
    lower = earlier_table({**after, "metric": "px_mean"})
    assert [row[3].kind for row in lower.groups[0].rows[:2]] == ["up", "down"]
    assert earlier_table(None) is None
