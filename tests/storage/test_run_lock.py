"""One run at a time in a folder; the locks of runs that have ended are taken over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lvtune.core.errors import UsageError
from lvtune.storage import run_lock as module
from lvtune.storage.run_lock import LOCK_FILE, Owner, owner_of, run_lock

ROOT = Path(__file__).resolve().parents[2]


def write(folder, **values):
    owner = {**vars(Owner.here()), **values}
    (folder / LOCK_FILE).write_text(json.dumps(owner))


def dead_process():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_second_run_is_refused_and_told_who_holds_the_folder(tmp_path):
    with run_lock(tmp_path) as owner:
        assert owner_of(tmp_path) == owner and owner.pid == os.getpid()
        with pytest.raises(UsageError) as caught, run_lock(tmp_path):
            pass
        assert f"process {os.getpid()} on {owner.host}, since {owner.started}" in str(caught.value)
        assert "choose another with --out DIR" in caught.value.fix
        assert owner_of(tmp_path) == owner, "a refused run leaves the lock alone"
    assert list(tmp_path.iterdir()) == []
    with run_lock(tmp_path):
        pass


def test_the_lock_goes_when_a_run_fails_and_a_new_folder_with_it(tmp_path):
    with pytest.raises(KeyboardInterrupt), run_lock(tmp_path / "a" / "new"):
        raise KeyboardInterrupt
    assert not (tmp_path / "a" / "new").exists()
    with run_lock(tmp_path / "b"):
        (tmp_path / "b" / "report.json").write_text("{}")
    assert [file.name for file in (tmp_path / "b").iterdir()] == ["report.json"]


def test_another_process_is_refused_until_it_is_killed(tmp_path):
    code = (
        "import sys, time, pathlib\nfrom lvtune.storage.run_lock import run_lock\n"
        "with run_lock(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=env)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(UsageError, match=f"process {process.pid} on"), run_lock(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    said = []
    with run_lock(tmp_path, said.append):
        assert owner_of(tmp_path).pid == os.getpid()
    assert said == [said[0]] and f"process {process.pid}" in said[0] and "which has ended" in said[0]


def test_a_number_that_another_process_has_now_is_of_a_run_that_has_ended(tmp_path):
    if Owner.here().born is None:
        pytest.skip("the system does not say when processes began")
    write(tmp_path, born="1", token="x")
    with run_lock(tmp_path):
        pass


def test_what_cannot_be_known_is_respected(tmp_path):
    write(tmp_path, host="elsewhere", pid=dead_process())
    with (
        pytest.raises(UsageError, match=r"on elsewhere.*if that run is gone, delete .*\.lvtune-lock"),
        run_lock(tmp_path),
    ):
        pass
    assert (tmp_path / LOCK_FILE).exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"pid": 1}', '{"pid": "1", "host": "a", "started": "b"}', "[" * 5000, "x" * 10**6,
     '{"pid": -1, "host": "a", "started": "b"}', '{"pid": 1, "host": [], "started": "b"}'],
)  # fmt: skip
def test_locks_that_no_run_wrote_are_taken_over_once_they_are_old(tmp_path, text):
    (tmp_path / LOCK_FILE).write_text(text)
    os.utime(tmp_path / LOCK_FILE, (1, 1))
    assert owner_of(tmp_path) is None
    with run_lock(tmp_path):
        pass


def test_names_in_a_lock_do_not_reach_the_terminal(tmp_path):
    write(tmp_path, host="\x1b[2J" + "x" * 10**3)
    with pytest.raises(UsageError) as caught, run_lock(tmp_path):
        pass
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 600


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"), run_lock(tmp_path / "file" / "out"):
        pass


def test_of_many_that_take_over_at_once_one_gets_it(tmp_path):
    write(tmp_path, pid=dead_process(), token="old")
    started, got, refused = threading.Barrier(8), [], []
    release = threading.Event()

    def work():
        started.wait()
        try:
            with run_lock(tmp_path):
                got.append(owner_of(tmp_path).token)
                release.wait(60)
        except UsageError:
            refused.append(1)
        if len(refused) == 7:
            release.set()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)
    assert list(tmp_path.iterdir()) == []


def test_a_takeover_that_was_killed_does_not_hold_up_the_next(tmp_path, monkeypatch):
    write(tmp_path, pid=dead_process(), token="old")
    guard = tmp_path / module._TAKEOVER_FILE
    guard.write_text("")
    os.utime(guard, (1, 1))
    with run_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_does_not_give_the_lock_away(tmp_path):
    code = (
        "import os, sys, pathlib\nfrom lvtune.storage.run_lock import run_lock, owner_of\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "with run_lock(folder):\n    child = os.fork()\n    if child == 0:\n        sys.exit()\n"
        "    os.waitpid(child, 0)\n    print(owner_of(folder).pid == os.getpid())\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, env=env
    )
    assert done.stdout == "True\n", done.stderr
