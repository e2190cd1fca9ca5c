"""Kills commands at every file operation, and at random moments: what is there afterwards is whole, old or new."""

from __future__ import annotations

import gc
import hashlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacks.tally import Tally, _be_quiet

KILLED = 77
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.symlink", "os.link", "os.chmod")


@dataclass(frozen=True)
class Command:
    """Something that writes a folder."""

    name: str
    prepare: Callable[[Path], Any]
    """Makes the inputs in a folder, once; what it returns goes to the other two."""
    run: Callable[[Path, Any], None]
    """Writes into ``out`` of the folder."""
    check: Callable[[Path, Any], str]
    """Says what is there: "", nothing that is used, or "new", something whole. Raises for anything else."""


def kill_everywhere(command: Command, folder: Path, *, most: int | None = None, seed: int = 0) -> Tally:
    """Kills a command before each of its file operations; then runs it again, unbroken.

    Args:
        command: to be killed.
        folder: empty.
        most: operations at which it is killed, drawn at random; None: all.
        seed: of the draw.
    """
    tally, started = Tally(f"kills: {command.name}"), time.perf_counter()
    known = command.prepare(folder)
    inputs = _state(folder)
    count = _child(lambda: command.run(folder, known), folder, None)
    tally.expect(count > 3, f"{command.name} could not be run at all ({count} operations)")
    done = command.check(folder, known) if count > 3 else ""
    wanted = _state(folder / "out")
    tally.expect(done == "new", f"{command.name} left {done!r}")
    over = _child(lambda: command.run(folder, known), folder, None)  # writes over what is there
    places = [(place, False) for place in range(count)] + [(place, True) for place in range(over)]
    if most is not None:
        places = random.Random(seed).sample(places, min(most, len(places)))
    for place, is_over in places:
        if not is_over:
            shutil.rmtree(folder / "out", ignore_errors=True)
        found = _child(lambda: command.run(folder, known), folder, place)
        what = f"{command.name}{' over another' if is_over else ''}, killed before operation {place}"
        tally.expect(found == place, f"{what}: it ended by itself")
        try:
            state = command.check(folder, known)
            tally.expect(state in ("", "new"), f"{what}: {state!r} is there")
        except Exception as error:
            tally.expect(False, f"{what}: {type(error).__name__}: {str(error)[:200]}")
        tally.expect({n: v for n, v in _state(folder).items() if n in inputs} == inputs, f"{what}: an input changed")
        _child(lambda: command.run(folder, known), folder, None)
        again = {name: value for name, value in _state(folder / "out").items() if name in wanted}
        tally.expect(_same(again, wanted), f"{what}: run again, it gave other files")
    tally.seconds = time.perf_counter() - started
    return tally


def every_state(command: Command, folder: Path) -> Tally:
    """Looks at what a command leaves before each of its file operations, in one run into nothing and one over another.

    A process that is killed at that moment leaves the same: what it has not given to the system yet is lost either way.
    So each state is copied while the command goes on, which takes two runs instead of two for each operation.
    """
    tally, started = Tally(f"states: {command.name}"), time.perf_counter()
    known = command.prepare(folder)
    inputs = _state(folder)
    kept = folder.parent / f"{folder.name}-states"
    for way in ("into nothing", "over another"):
        shutil.rmtree(kept, ignore_errors=True)
        count = _child(lambda: command.run(folder, known), folder, None, keep=kept)
        tally.expect(count > 3, f"{command.name} could not be run at all ({count} operations)")
        whole = folder.parent / f"{folder.name}-whole"
        shutil.rmtree(whole, ignore_errors=True)
        shutil.copytree(folder / "out", whole)
        for number in range(max(count, 0)):
            shutil.rmtree(folder / "out", ignore_errors=True)
            if (kept / str(number)).exists():
                (kept / str(number)).rename(folder / "out")
            what = f"{command.name} {way}, before operation {number}"
            try:
                state = command.check(folder, known)
                tally.expect(state in ("", "new"), f"{what}: {state!r} is there")
            except Exception as error:
                tally.expect(False, f"{what}: {type(error).__name__}: {str(error)[:200]}")
        shutil.rmtree(folder / "out", ignore_errors=True)
        whole.rename(folder / "out")
    unchanged = {name: value for name, value in _state(folder).items() if name in inputs} == inputs
    tally.expect(unchanged, f"{command.name}: an input changed")
    tally.seconds = time.perf_counter() - started
    return tally


def kill_at_random(command: Command, folder: Path, times: int, seed: int = 0) -> Tally:
    """Kills a command by SIGKILL at random moments while it writes over what an earlier one left."""
    tally, started, rng = Tally(f"kills at random: {command.name}"), time.perf_counter(), random.Random(seed)
    known = command.prepare(folder)
    begun = time.perf_counter()
    _child(lambda: command.run(folder, known), folder, None)
    lasts = time.perf_counter() - begun
    for number in range(times):
        child = os.fork()
        if child == 0:
            _run_quietly(lambda: command.run(folder, known))
        time.sleep(rng.uniform(0.0, lasts))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        try:
            state = command.check(folder, known)
            tally.expect(state in ("", "new"), f"{command.name}, SIGKILL {number}: {state!r}")
        except Exception as error:
            tally.expect(False, f"{command.name}, SIGKILL {number}: {type(error).__name__}: {str(error)[:200]}")
    tally.seconds = time.perf_counter() - started
    return tally


def _child(work: Callable[[], None], folder: Path, stop: int | None, keep: Path | None = None) -> int:
    """Runs ``work`` in a forked child and kills it before file operation ``stop``; returns how many there were.

    With ``keep`` the folder ``out`` is copied there before each operation, under the operation's number.
    """
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        gc.freeze()  # what the parent has made is not looked at in each child
        counter = _Counter(folder, stop, into, keep)
        sys.addaudithook(counter.look)
        real = os.fsync
        os.fsync = lambda handle: (counter.count(), real(handle))[1]
        _run_quietly(work, counter)
    os.close(into)
    with os.fdopen(out, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    return int(said.split()[-1]) if said.split() else -1


def _run_quietly(work: Callable[[], None], counter: _Counter | None = None) -> None:
    try:
        _be_quiet()
        work()
        if counter is not None:
            counter.say()
    except BaseException:
        import traceback

        Path("/tmp/lvtune-attack-error.txt").write_text(traceback.format_exc())
    finally:
        os._exit(0)


class _Counter:
    """Counts operations that change files below a folder, and ends the process before one of them."""

    def __init__(self, folder: Path, stop: int | None, pipe: int, keep: Path | None = None) -> None:
        self.folder, self.stop, self.pipe, self.number, self.is_inside = str(folder), stop, pipe, 0, False
        self.keep, self.out = keep, folder / "out"

    def look(self, event: str, args: tuple) -> None:
        """An audit hook."""
        if self.is_inside or (event != "open" and event not in _EVENTS):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & _WRITES):
            return
        self.is_inside = True
        try:
            paths = [os.fsdecode(arg) for arg in args[:2] if isinstance(arg, str | bytes | os.PathLike)]
            if any(os.path.abspath(path).startswith(self.folder) for path in paths):
                self.count()
        finally:
            self.is_inside = False

    def count(self) -> None:
        """Counts one operation."""
        if self.stop is not None and self.number == self.stop:
            self.say()
            os._exit(KILLED)
        if self.keep is not None and self.out.exists():
            was, self.is_inside = self.is_inside, True
            shutil.copytree(self.out, self.keep / str(self.number), symlinks=True)
            self.is_inside = was
        self.number += 1

    def say(self) -> None:
        """Tells the parent how many there were."""
        os.write(self.pipe, b"%d " % self.number)


def _state(folder: Path) -> dict[str, str]:
    """Content of the files below a folder, without locks and temporary ones."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and ".lvtune-" not in str(file.relative_to(folder))
    }


def _same(one: dict[str, str], other: dict[str, str]) -> bool:
    """Reports and pages hold times and paths; weights, configs and tables are the same to the bit."""
    exact = [name for name in other if name.endswith((".safetensors", "config.json", ".onnx", ".csv"))]
    return one.keys() == other.keys() and all(one[name] == other[name] for name in exact)
