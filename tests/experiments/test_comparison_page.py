"""``results.md`` and ``results.html``: units, where tuning began, reasons for what is missing, and foreign words."""

import json
import re
from pathlib import Path

import pytest

from lvtune.experiments.comparison_page import FIGURE, html, write_comparison
from lvtune.experiments.comparison_table import markdown, score_rows, start_rows
from lvtune.experiments.result_rows import NOT_RECORDED, row_of, summary_of

START = {"name": "the shipped start", "kept": True, "target": {"pck@0.2": 28.0}}


def report(target=34.0, *, source=48.0, start=START, main="pck@0.2", before=25.0):
    side = lambda low, on: {  # noqa: E731
        when: None if value is None else {main: value}
        for when, value in (("before", low), ("after_on", on), ("after_off", low))
    }
    values = {
        "main": main, "target": side(before, target), "source": None if source is None else side(49.0, source),
        "retention": {"on": 0.98, "off": 1.0} if source else {"on": None, "off": None},
        "gap_closed": 0.2 if source else None, "gained": None if before is None else target - before,
        "adapter": {"method": "norm", "parameters": 1000, "share_of_base": 0.01, "bytes": 4000},
        "seconds": {"tune": 6.0}, "seconds_per_step": 0.5, "peak_memory_mb": 700.0, "peak_device_memory_mb": None,
        "curves": {"steps": [1, 2, 3]}, "target_name": "paintings", "source_name": "photographs" if source else None,
    }  # fmt: skip
    return values if start == NOT_RECORDED else values | {"start": start}


def comparison(*reports, labels=("norm", "lora"), shots="all"):
    rows = [
        {"label": label, "method": "norm", "shots": shots, "seed": 0, "lr": None, "name": label} | row_of(one)
        for label, one in zip(labels, reports, strict=False)
    ]
    first = rows[0]
    return {
        "out": "out", "base": "tiny", "domain": "art", "main": first["main"], "target_name": first["target_name"],
        "source_name": first["source_name"], "cells": rows, "summary": summary_of(rows), "failed": {},
        "versions": {"lvtune": "0.1"},
    }  # fmt: skip


def test_the_gain_is_split_into_start_and_tuning():
    row = row_of(report())
    assert (row["start"], row["at_start"]) == ("the shipped start", 28.0)
    assert (row["gained_at_start"], row["gained_by_tuning"]) == (3.0, 6.0)
    values = comparison(report(), report(30.0, start=None))
    started, fresh = start_rows(values)
    assert started["tuning began at"] == "the shipped start"
    assert started["from the start (points)"] == "+3.00"
    assert started["from tuning on your pictures (points)"] == "+6.00"
    assert fresh["tuning began at"] == "the base's own answer"
    assert (fresh["from the start (points)"], fresh["from tuning on your pictures (points)"]) == ("0.00", "+5.00")


def test_of_an_error_in_pixels_less_is_a_gain():
    start = {**START, "target": {"px_mean": 8.0}}
    row = row_of(report(3.0, start=start, main="px_mean", before=9.0, source=None))
    assert (row["gained_at_start"], row["gained_by_tuning"]) == (1.0, 5.0)
    values = comparison(report(5.0, main="px_mean"), report(3.0, main="px_mean"), labels=("one", "two"))
    assert [line["label"] for line in values["summary"] if line["best"]] == ["one", "two"]
    assert "target (px)" in score_rows(values)[0]
    rates = [{**values["cells"][0], "label": "a", "lr": lr, "target": lr} for lr in (5.0, 3.0)]
    assert [line["lr"] for line in summary_of(rates) if line["best"]] == [3.0]


def test_the_base_and_the_start_alone_have_rows_of_their_own():
    base, start, *variants = score_rows(comparison(report(), report(30.0, start=None)))
    assert (base["variant"], base["target (%)"], base["source, adapter off (%)"]) == ("base alone", "25.00", "49.00")
    assert (start["variant"], start["target (%)"]) == ("start alone (norm): the shipped start", "28.00")
    assert [row["variant"] for row in variants] == ["norm", "lora"]


@pytest.mark.parametrize(
    ("start", "name", "part"),
    [
        (NOT_RECORDED, "not recorded", "start not scored"),
        ({"name": "mine", "kept": True}, "mine", "start not scored"),
        ({"name": "mine", "kept": False}, "the base's own answer", "0.00"),
    ],
)
def test_a_start_without_a_score_says_so(start, name, part):
    (row,) = start_rows(comparison(report(start=start)))
    assert (row["tuning began at"], row["from the start (points)"]) == (name, part)


def test_what_is_missing_has_a_reason():
    values = comparison(report(source=None), report(30.0, source=None))
    assert not [name for name in score_rows(values)[0] if "source" in name or "kept" in name or "gap" in name]
    for text in (markdown(values), html(values)):
        assert "There are no columns for the source, because the domain has no source pictures." in text
        assert not re.search(r"[>|] *[-–] *[<|]", text)
    some = comparison(report(source=None), report(30.0))
    has_columns = any(name.startswith("source") for name in score_rows(some)[0])
    assert has_columns != ("There are no columns for the source" in markdown(some))
    mixed = comparison(report(before=None), report())
    assert "no score: at least one run of the line lacks this score" in html(mixed)


def test_every_column_of_scores_says_its_unit():
    heads = list(score_rows(comparison(report(), report(30.0)))[0])
    named = {"variant", "shots", "learning rate", "seeds"}
    assert all(re.search(r"\((%|points)\)$", head) for head in heads if head not in named)


EVIL = "<script>alert(1)</script>\"'|$\\frac"


def test_foreign_words_stay_words(tmp_path):
    values = comparison(report(start={**START, "name": EVIL}), report(30.0), labels=(EVIL, "lora"))
    values |= {"base": EVIL, "target_name": EVIL, "failed": {EVIL: {"given": EVIL, "expected": "", "fix": ""}}}
    text = html(values)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 8
    write_comparison(values, tmp_path)
    assert (tmp_path / "results.html").read_text() == text == html(json.loads(json.dumps(values)))
    assert {file.name for file in tmp_path.iterdir()} == {"results.json", "results.md", "results.html", FIGURE}


def test_a_comparison_without_a_finished_run(tmp_path):
    values = comparison(report()) | {"cells": [], "summary": [], "main": None}
    values["failed"] = {"norm-all-0": {"given": "a loss of nan", "expected": "a number", "fix": "lower it"}}
    write_comparison(values, tmp_path)
    text = Path(tmp_path / "results.html").read_text()
    assert "No run was finished." in text and "a loss of nan; a number; lower it" in text
    assert not (tmp_path / FIGURE).exists()
