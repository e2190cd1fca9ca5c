"""The attack in short: the areas of tools/attack.py with small numbers."""

from __future__ import annotations

import sys

import pytest

from attacks.bombs import bombs, code
from attacks.commands import COMMANDS
from attacks.cycles import cycles
from attacks.damaged_files import damaged
from attacks.file_kinds import KINDS
from attacks.hub_faults import killed_pushes, pulls, pushes
from attacks.kills import Command, every_state, kill_at_random, kill_everywhere

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc"),
    # a fork while other tests' threads wait is no fault here: the child runs nothing of theirs
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]
MUTANTS = 300


def has_held(tally):
    assert tally.trials > 0
    assert not tally.failures, "\n".join(tally.failures[:10])


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_damaged_files(kind, tmp_path):
    has_held(damaged(kind, MUTANTS, 0, tmp_path))


@pytest.mark.parametrize("name", COMMANDS)
def test_kills_at_file_operations(name, tmp_path):
    has_held(kill_everywhere(COMMANDS[name], tmp_path.resolve(), most=2 if name == "adapt" else 6))


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_there_before_each_file_operation(name, tmp_path):
    folder = tmp_path.resolve() / "here"
    folder.mkdir()
    has_held(every_state(COMMANDS[name], folder))


def test_a_command_that_writes_half_a_folder_is_noticed(tmp_path):
    def write(folder, known):
        (folder / "out").mkdir(exist_ok=True)
        for name in ("a", "b", "c"):
            (folder / "out" / name).write_text("done")

    def check(folder, known):
        names = sorted(file.name for file in (folder / "out").glob("*"))
        assert names in ([], ["a", "b", "c"])
        return "new" if names else ""

    folder = tmp_path.resolve() / "here"
    folder.mkdir()
    tally = every_state(Command("careless", lambda folder: None, write, check), folder)
    # made the folder, a, b, c: before b, and before c
    assert [failure.split(":")[0] for failure in tally.failures] == [
        "careless into nothing, before operation 2", "careless into nothing, before operation 3",
    ]  # fmt: skip


def test_kills_at_random_moments(tmp_path):
    has_held(kill_at_random(COMMANDS["save"], tmp_path.resolve(), 5))


def test_a_hub_that_fails(tmp_path):
    for area, count in ((pulls, 30), (pushes, 12), (killed_pushes, 4)):
        place = tmp_path / area.__name__
        place.mkdir()
        has_held(area(count, 0, place))


def test_cycles_leave_nothing_behind(tmp_path):
    has_held(cycles(2000, 0, tmp_path))


def test_bombs(tmp_path):
    has_held(bombs(1, 0, tmp_path))


def test_no_code_of_a_file_is_run(tmp_path):
    has_held(code(120, 0, tmp_path))


def test_the_attack_would_notice():
    """Its own checks: an error that is not ours, another result, a crash, a part of an error that is missing."""
    import faulthandler
    import os

    from attacks.tally import Tally, in_child
    from lvtune.core.errors import DataError

    tally = Tally("itself")
    tally.only_ours("raw", lambda: {}["x"])
    tally.only_ours("other", lambda: 1, lambda found: found == 2)
    tally.only_ours("half", lambda: (_ for _ in ()).throw(DataError("a", "", "c")))
    tally.only_ours("right", lambda: 2, lambda found: found == 2)
    assert (tally.trials, len(tally.failures)) == (4, 3)
    crashed = in_child("crash", lambda tally: (faulthandler.disable(), os.kill(os.getpid(), 11)))
    assert crashed.failures and "signal 11" in crashed.failures[0]
