"""A lock on the folder of a run: two runs never write into one folder.

The lock is a file that names its owner. It is made in one step, so that of several runs one gets it. The lock of a
process that has ended is taken over; one of another machine is respected, since nothing can be known of it from here.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lvtune.core.errors import UsageError
from lvtune.core.files import user_errors
from lvtune.core.machine import began_at, is_running
from lvtune.core.text import shell_word, short

LOCK_FILE = ".lvtune-lock"
_TAKEOVER_FILE = ".lvtune-lock-takeover"
_MOST_BYTES = 4096
_TRIES = 100
_TAKEOVER_SECONDS = 30.0


@dataclass(frozen=True)
class Owner:
    """The run that holds a lock."""

    pid: int
    host: str
    started: str
    """When the run took the lock, ISO 8601, UTC."""
    born: str | None = None
    """When the system says that the process began; tells two processes of one number apart. None: it does not say."""
    token: str = ""
    """Of this one lock."""

    @classmethod
    def here(cls) -> Owner:
        """Returns this process as an owner."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(os.getpid(), socket.gethostname(), now, began_at(os.getpid()), uuid.uuid4().hex)

    def is_gone(self) -> bool:
        """Returns True if the process has certainly ended."""
        if self.host != socket.gethostname():
            return False
        if not is_running(self.pid):
            return True
        born = began_at(self.pid)
        return None not in (self.born, born) and self.born != born

    def __str__(self) -> str:
        host = short(self.host, quote=False)
        return f"process {self.pid} on {host}, since {short(self.started, quote=False)}"


@contextlib.contextmanager
def run_lock(folder: Path, say: Callable[[str], None] = lambda text: None) -> Iterator[Owner]:
    """Holds the lock of a folder; makes the folder where it is not there, and removes it again if it stays empty.

    Args:
        folder: of the run.
        say: called with a note where the lock of a process that has ended is taken over.

    Raises:
        UsageError: another run holds the lock; the folder cannot be written.
    """
    with user_errors(folder):
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        owner = _acquire(folder, say)
    try:
        yield owner
    finally:
        if os.getpid() == owner.pid:  # a forked child holds nothing
            _release(folder, owner)
            if is_new:
                with contextlib.suppress(OSError):
                    folder.rmdir()


def owner_of(folder: Path) -> Owner | None:
    """Returns who holds the lock of a folder; None: nobody, or a file that no run wrote."""
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            values = json.loads(file.read(_MOST_BYTES))
        owner = Owner(**values)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    texts = (owner.host, owner.started, owner.token, owner.born or "")
    is_sound = type(owner.pid) is int and owner.pid > 0 and all(isinstance(text, str) for text in texts)
    return owner if is_sound else None


def _acquire(folder: Path, say: Callable[[str], None]) -> Owner:
    owner = Owner.here()
    for _ in range(_TRIES):
        if _create(folder / LOCK_FILE, json.dumps(asdict(owner))):
            return owner
        other = owner_of(folder)
        if other is None and _is_young(folder / LOCK_FILE):
            time.sleep(0.02)  # it is being written, or has just gone
            continue
        if other is not None and not other.is_gone():
            raise _held(folder, str(other))
        if _take_away(folder, other):
            say(f"note: took over {folder} from {other or 'a run that left a lock without an owner'}, which has ended")
    raise _held(folder, "a run that left no name")


def _create(file: Path, text: str) -> bool:
    """Makes a file in one step; returns False where there is one."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(handle)
    return True


def _take_away(folder: Path, seen: Owner | None) -> bool:
    """Removes the lock of a run that has ended; returns False where another process is doing so.

    One process at a time looks again and removes, so that nobody removes a lock that has been made meanwhile.
    """
    guard = folder / _TAKEOVER_FILE
    if not _create(guard, ""):
        with contextlib.suppress(OSError):
            if time.time() - guard.stat().st_mtime > _TAKEOVER_SECONDS:  # its process was killed
                guard.unlink()
        time.sleep(0.02)
        return False
    try:
        if owner_of(folder) != seen or (seen is None and _is_young(folder / LOCK_FILE)):
            return False
        (folder / LOCK_FILE).unlink(missing_ok=True)
        return True
    finally:
        guard.unlink(missing_ok=True)


def _release(folder: Path, owner: Owner) -> None:
    held = owner_of(folder)
    if held is not None and held.token == owner.token:
        (folder / LOCK_FILE).unlink(missing_ok=True)


def _is_young(file: Path) -> bool:
    """Returns True if a lock may still be in the making."""
    try:
        return time.time() - file.stat().st_mtime < 1.0
    except OSError:
        return True


def _held(folder: Path, who: str) -> UsageError:
    return UsageError(
        f"output folder {folder}, into which another run writes ({who})", "a folder of its own for each run",
        f"choose another with --out DIR, or wait; if that run is gone, delete {shell_word(folder / LOCK_FILE)}",
    )  # fmt: skip
