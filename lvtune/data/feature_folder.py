"""The folder of cached features: one entry for what was computed from one base, data set and transform.

An entry is a folder: ``features.bin`` (:mod:`lvtune.data.feature_rows`), ``about.json`` that says what it is, and a
file for each process that uses it, which that process locks. The system takes the lock away when the process ends, even
if it is killed. Entries that nobody uses are removed, the one that was used longest ago first, until all entries take
at most what was asked for. One process at a time opens or removes entries.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lvtune.core.files import write_text
from lvtune.data.feature_rows import FeatureRows, row_bytes

FEATURES_FILE, ABOUT_FILE = "features.bin", "about.json"
_LOCK_FILE, _GONE = ".lock", ".gone-"
_SECONDS = 60.0
_SHARE_OF_DISK = 0.9


@dataclass(frozen=True)
class Opened:
    """An entry that this process uses."""

    rows: FeatureRows
    place: Path
    is_new: bool
    """True: nobody had written it before."""
    notes: tuple[str, ...]


def key_of(about: Mapping[str, Any]) -> str:
    """Returns the name of the entry of what these facts describe."""
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:24]


@contextlib.contextmanager
def open_entry(
    folder: Path, about: Mapping[str, Any], *, numbers: int, count: int, most_bytes: float
) -> Iterator[Opened | None]:
    """Opens the entry of what ``about`` describes, and makes it where it is not there; None where there is no room.

    Args:
        folder: of all entries.
        about: all that the features depend on, but the pictures' content, which each row's mark says.
        numbers: in a row.
        count: of rows.
        most_bytes: that all entries may take.

    Raises:
        OSError: the folder cannot be written, or is locked for a minute.
    """
    place = folder / key_of({**about, "numbers": numbers})
    folder.mkdir(parents=True, exist_ok=True)
    mark = place / f"user-{os.getpid()}-{uuid.uuid4().hex[:8]}.lock"
    user = FileLock(mark, timeout=0, thread_local=False)
    with _alone(folder):
        is_new = not (place / FEATURES_FILE).is_file()
        fitting, notes = _make_room(folder, place, row_bytes(numbers), count, most_bytes)
        if fitting:
            place.mkdir(exist_ok=True)
            user.acquire()
            _resize(place, fitting * row_bytes(numbers))
            facts = {**about, "numbers": numbers, "rows": fitting}
            write_text(place / ABOUT_FILE, json.dumps(facts, indent=1, default=str))
    if not fitting:
        yield None
        return
    rows = FeatureRows(place / FEATURES_FILE, numbers)
    try:
        yield Opened(rows, place, is_new, tuple(notes))
    finally:
        rows.close()
        user.release()
        mark.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.utime(place / ABOUT_FILE)  # when it was used last


def discard(place: Path) -> None:
    """Removes an entry, also where it is used: whoever uses it keeps what is open, and it is not found again."""
    with contextlib.suppress(OSError), _alone(place.parent):
        _remove(place)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Inside, no other process opens or removes entries."""
    try:
        lock = FileLock(folder / _LOCK_FILE, timeout=_SECONDS, thread_local=False)
        lock.acquire()
    except Timeout as error:
        raise OSError(f"{folder} has been locked by another process for a minute") from error
    try:
        for left in folder.glob(f"{_GONE}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


def _make_room(folder: Path, own: Path, size: int, count: int, most_bytes: float) -> tuple[int, list[str]]:
    """Removes what was used longest ago; returns how many rows of ``size`` bytes may be used, and what was done."""
    others = [entry for entry in folder.iterdir() if entry.is_dir() and entry != own and entry.name[0] != "."]
    sizes = {entry: _size(entry) for entry in others}
    busy = {entry for entry in others if _is_used(entry)}
    free = most_bytes - sum(sizes[entry] for entry in busy)
    fitting = max(0, min(count, int(free // size)))
    on_disk = _SHARE_OF_DISK * shutil.disk_usage(folder).free + _size(own, really=True)
    idle, notes = sorted(set(others) - busy, key=_used_at), []
    taken = sum(sizes.values())
    while fitting and idle and taken + fitting * size > most_bytes:
        entry = idle.pop(0)
        taken, on_disk = taken - sizes[entry], on_disk + _size(entry, really=True)
        _remove(entry)
        notes.append(f"features in {entry.name} were removed, which were used longest ago")
    fitting = min(fitting, int(on_disk // size))
    return fitting, notes


def _remove(entry: Path) -> None:
    """Removes an entry in one step, so that no half of it is found after a kill."""
    gone = entry.with_name(f"{_GONE}{uuid.uuid4().hex[:8]}")
    os.replace(entry, gone)
    shutil.rmtree(gone, ignore_errors=True)


def _resize(place: Path, size: int) -> None:
    """Gives the file its length; it is made shorter only where no other process uses it."""
    file = place / FEATURES_FILE
    with file.open("ab"):
        pass
    now, is_shared = file.stat().st_size, _is_used(place, besides=1)
    if now < size or (now > size and not is_shared):
        os.truncate(file, size)


def _is_used(entry: Path, besides: int = 0) -> bool:
    """Returns True if more than ``besides`` processes use an entry; removes the marks of those that have ended."""
    used = 0
    for mark in entry.glob("user-*.lock"):
        lock = FileLock(mark, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except (Timeout, OSError):
            used += 1
            continue
        lock.release()
        mark.unlink(missing_ok=True)
    return used > besides


def _size(entry: Path, *, really: bool = False) -> int:
    """Bytes of an entry: those that it may grow to, or ``really`` those that it takes on the disk."""
    try:
        found = (entry / FEATURES_FILE).stat()
    except OSError:
        return 0
    blocks = getattr(found, "st_blocks", None)
    return 512 * blocks if really and blocks is not None else found.st_size


def _used_at(entry: Path) -> float:
    try:
        return (entry / ABOUT_FILE).stat().st_mtime
    except OSError:
        return 0.0
