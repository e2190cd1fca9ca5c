"""Progress of long work: a bar on a terminal, plain lines elsewhere, nothing where nobody wants it."""

import io

import pytest

from lvtune.core import work_progress
from lvtune.core.work_progress import Progress, progress, quiet, tracked


@pytest.fixture
def clock(monkeypatch):
    """Lets a test set the time."""
    now = [100.0]
    monkeypatch.setattr(work_progress, "AFTER", 2.0)
    monkeypatch.setattr(work_progress.time, "monotonic", lambda: now[0])
    return now


def work(clock, seconds, count=10):
    with progress("scoring", count) as shown:
        for _ in range(count):
            clock[0] += seconds / count
            shown.update()


def test_lines_after_two_seconds_and_then_every_ten(clock, capsys):
    work(clock, 25)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "scoring: 1/10 pictures (2 s, 22 s left)",
        "scoring: 5/10 pictures (12 s, 12 s left)",
        "scoring: 9/10 pictures (22 s, 2 s left)",
    ]


def test_nothing_is_said_of_what_is_quick(clock, capsys):
    work(clock, 1.9)
    assert capsys.readouterr().err == ""


def test_quiet_and_inside_of_other_progress_and_further_processes(clock, capsys, monkeypatch):
    with quiet():
        work(clock, 25)
    with quiet(False), quiet(), quiet(False):
        work(clock, 25)
    with progress("outer"):
        work(clock, 25)
    monkeypatch.setenv("RANK", "1")
    work(clock, 25)
    assert capsys.readouterr().err == ""


def test_an_unknown_total_has_no_estimate(clock, capsys):
    for _ in tracked(iter(range(2)), "reading", unit="files"):
        clock[0] += 5
    assert capsys.readouterr().err == "reading: 1 files (5 s)\n"
    assert Progress("x", 4, "files", True).line(3) == "x: 0 files (3 s)"


def test_a_terminal_gets_a_bar_with_an_estimate(clock, monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", screen)
    work(clock, 25)
    shown = screen.getvalue()
    assert "scoring" in shown and "/10" in shown and "\r" in shown


def test_what_is_shown_changes_nothing_of_what_is_yielded(clock):
    assert list(tracked([3, 1, 2], "reading", 3)) == [3, 1, 2]
    with pytest.raises(ValueError, match="x"), progress("reading"):
        raise ValueError("x")
    assert not work_progress._inside.get()
