"""Rows that are whole or not there, and entries of which the one used longest ago goes first."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lvtune.data.feature_folder import FEATURES_FILE, discard, key_of, open_entry
from lvtune.data.feature_rows import FeatureRows, mark_of, row_bytes

NUMBERS = 24
SIZE = row_bytes(NUMBERS)


def opened(folder, name, count=10, most=1e9):
    return open_entry(folder, {"name": name}, numbers=NUMBERS, count=count, most_bytes=most)


def values(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, NUMBERS)).astype(np.float16)


def names(folder):
    return {entry.name for entry in folder.iterdir() if entry.name[0] != "."}


def key(name):
    return key_of({"name": name, "numbers": NUMBERS})


def fill(folder, name, **size):
    with opened(folder, name, **size) as entry:
        entry.rows.write(np.arange(10), range(1, 11), values(10))
    return folder / key(name)


def test_rows_come_back_to_those_who_know_their_mark(tmp_path):
    with opened(tmp_path, "a") as entry:
        assert entry.is_new and entry.rows.count == 10
        written = entry.rows.write(np.array([2, 5, 99]), [7, 8, 9], values(3))
        assert written.tolist() == [True, True, False]
        there, found = entry.rows.read(np.array([5, 2, 3, 99, 2]), [8, 7, 0, 9, 8])
        assert there.tolist() == [True, True, False, False, False]  # the last one was computed from other pixels
        assert np.array_equal(found[:2], values(3)[[1, 0]])
    with opened(tmp_path, "a") as entry:
        assert not entry.is_new
        assert entry.rows.read(np.array([2]), [7])[0].all()
    with opened(tmp_path, "b") as entry:
        assert not entry.rows.read(np.array([2]), [7])[0].any()


@pytest.mark.parametrize("place", [0, 8, 16, SIZE - 1])
def test_a_row_with_one_wrong_byte_is_not_there(tmp_path, place):
    file = fill(tmp_path, "a") / FEATURES_FILE
    data = bytearray(file.read_bytes())
    data[3 * SIZE + place] ^= 16
    file.write_bytes(data)
    with opened(tmp_path, "a") as entry:
        there, _ = entry.rows.read(np.arange(10), range(1, 11))
    assert there.tolist() == [row != 3 for row in range(10)]


@pytest.mark.parametrize("length", [1, 15, 16, SIZE - 1])
def test_a_row_that_was_half_written_is_not_there(tmp_path, length):
    file = fill(tmp_path, "a") / FEATURES_FILE
    data = file.read_bytes()
    file.write_bytes(data[: 4 * SIZE + length] + bytes(6 * SIZE - length))
    with opened(tmp_path, "a") as entry:
        there, _ = entry.rows.read(np.arange(10), range(1, 11))
    assert there.tolist() == [row < 4 for row in range(10)]


def test_a_row_that_nobody_wrote_is_not_there_even_with_the_mark_0(tmp_path):
    with opened(tmp_path, "a") as entry:
        assert not entry.rows.read(np.arange(10), [0] * 10)[0].any()


def test_entries_used_longest_ago_make_room(tmp_path):
    for at, name in enumerate(("a", "b", "c")):
        os.utime(fill(tmp_path, name, most=30 * SIZE) / "about.json", (at, at))
    fill(tmp_path, "a", most=30 * SIZE)  # used again
    with opened(tmp_path, "d", most=30 * SIZE) as entry:
        assert entry.rows.count == 10
        assert key("b") in " ".join(entry.notes)
    assert names(tmp_path) == {key("a"), key("c"), key("d")}
    with opened(tmp_path, "e", count=25, most=30 * SIZE) as entry:
        assert entry.rows.count == 25
    assert names(tmp_path) == {key("e")}


def test_entries_in_use_stay_and_leave_less_room(tmp_path):
    with opened(tmp_path, "a", most=15 * SIZE) as first:
        with opened(tmp_path, "b", most=15 * SIZE) as second:
            assert second.rows.count == 5
        first.rows.write(np.arange(10), range(1, 11), values(10))
        with opened(tmp_path, "c", most=10 * SIZE) as third:
            assert third is None
    assert {key("a"), key("b")} == names(tmp_path)
    with opened(tmp_path, "c", most=10 * SIZE) as third:
        assert third.rows.count == 10
    assert names(tmp_path) == {key("c")}


def test_an_entry_grows_and_shrinks_with_what_is_asked_for(tmp_path):
    file = fill(tmp_path, "a", count=10) / FEATURES_FILE
    with opened(tmp_path, "a", count=30) as entry:
        assert entry.rows.count == 30
        assert entry.rows.read(np.arange(10), range(1, 11))[0].all()
        with opened(tmp_path, "a", count=5) as other:
            assert other.rows.count == 30  # somebody has it mapped
    with opened(tmp_path, "a", most=5 * SIZE) as entry:
        assert entry.rows.count == 5
        assert entry.rows.read(np.arange(5), range(1, 6))[0].all()
    assert file.stat().st_size == 5 * SIZE


def test_no_room_is_no_error(tmp_path):
    with opened(tmp_path, "a", most=0) as entry:
        assert entry is None


def test_what_a_killed_removal_left_is_swept(tmp_path):
    fill(tmp_path, "a").rename(tmp_path / ".gone-1")
    fill(tmp_path, "b")
    assert not (tmp_path / ".gone-1").exists()
    discard(tmp_path / key("b"))
    assert names(tmp_path) == set()


def test_marks_of_processes_that_have_ended_are_removed(tmp_path):
    entry = fill(tmp_path, "a")
    (entry / "user-1-0.lock").touch()  # its lock went with the process
    with opened(tmp_path, "b", most=10 * SIZE):
        assert names(tmp_path) == {key("b")}


def test_the_mark_is_that_of_the_bytes():
    pixels = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    assert mark_of(pixels) == mark_of(pixels.copy()) != mark_of(pixels + 1e-6)
    assert mark_of(pixels.T) == mark_of(np.ascontiguousarray(pixels.T))


def test_a_file_shorter_than_a_row(tmp_path):
    (tmp_path / "file").write_bytes(b"123")
    rows = FeatureRows(tmp_path / "file", NUMBERS)
    assert rows.count == 0 and not rows.read(np.array([0]), [1])[0].any()
    rows.close()


WRITER = """
import sys, numpy as np
from pathlib import Path
from lvtune.data.feature_folder import open_entry
folder, seed, times = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
own = np.random.default_rng(seed).normal(size=(50, 5000)).astype(np.float16)
with open_entry(folder, {"name": "shared"}, numbers=5000, count=50, most_bytes=1e9) as entry:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(times):
        entry.rows.write(np.arange(50), range(1, 51), own)
        print("written", flush=True)
"""


def writer(folder, seed, times):
    command = [sys.executable, "-c", WRITER, str(folder), str(seed), str(times)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def test_processes_that_write_the_same_rows(tmp_path):
    """Whatever is read while two processes write different numbers, one of them killed, is what one of them wrote."""
    contents = [np.random.default_rng(seed).normal(size=(50, 5000)).astype(np.float16) for seed in (0, 1)]
    one, killed = writer(tmp_path, 0, 200), writer(tmp_path, 1, 10**9)
    for process in (one, killed):
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "written\n"  # each row was whole at least once
    reads = 0
    with open_entry(tmp_path, {"name": "shared"}, numbers=5000, count=50, most_bytes=1e9) as entry:
        for _ in range(40):
            there, found = entry.rows.read(np.arange(50), range(1, 51))
            reads += int(there.sum())
            for row in np.flatnonzero(there):
                assert any(np.array_equal(found[row], content[row]) for content in contents)
    killed.kill()
    killed.communicate()
    one.communicate(timeout=300)
    assert one.returncode == 0 and reads
    writer(tmp_path, 0, 1).communicate("go\n", timeout=300)
    with open_entry(tmp_path, {"name": "shared"}, numbers=5000, count=50, most_bytes=1e9) as entry:
        there, found = entry.rows.read(np.arange(50), range(1, 51))
        assert there.all() and np.array_equal(found, contents[0])
        assert len(list(entry.place.glob("user-*.lock"))) in (1, 2)  # ours, and perhaps that of the killed one
    with open_entry(tmp_path, {"name": "other"}, numbers=5000, count=50, most_bytes=50 * row_bytes(5000)):
        assert len(names(tmp_path)) == 1  # nobody holds the first entry
