"""Steps that fit a time budget."""

import pytest

from lvtune.training import budget
from lvtune.training.budget import RESERVE, TIMED, WARM, Budget


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(budget, "time", found)
    return found


def run(clock, seconds, first, each):
    counter, step = Budget(seconds), 0
    while True:
        step += 1
        clock.now += first if step <= WARM else each
        found = counter.take(step)
        if found is not None:
            return step, found


def test_the_steps_fill_the_budget(clock):
    told, steps = run(clock, 60.0, first=2.0, each=0.5)
    assert told == WARM + TIMED
    used = WARM * 2.0 + TIMED * 0.5
    assert steps == told + int((RESERVE * 60 - used) / 0.5)
    assert RESERVE * 60 - 0.5 <= WARM * 2.0 + (steps - WARM) * 0.5 <= 60


def test_steps_longer_than_the_budget_end_the_run(clock):
    assert run(clock, 1.0, first=2.0, each=2.0) == (1, 1)
    assert run(clock, 9.0, first=2.0, each=2.0) == (5, 5)


def test_a_budget_that_the_first_steps_use_up_takes_no_more(clock):
    told, steps = run(clock, 9.0, first=0.5, each=1.55)
    assert told == steps == WARM + TIMED
