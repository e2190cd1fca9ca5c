"""Writing files so that a reader, or a kill, at any moment finds the old bytes or the new ones."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from lvtune.core.errors import LvtuneError

_PREFIX, _SUFFIX = ".lvtune-", ".tmp"
_ABANDONED_AFTER = 3600.0  # seconds; no write takes that long


def write_atomically(path: Path | str, data: bytes | str) -> Path:
    """Replaces ``path`` by ``data`` in one step; text is written as UTF-8.

    Raises:
        LvtuneError: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    with user_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged(path.parent, data) as temporary:
            os.replace(temporary, path)
        sync_folder(path.parent)
    return path


@contextlib.contextmanager
def staged(folder: Path, data: bytes | str) -> Iterator[Path]:
    """A temporary file in ``folder`` that holds all of ``data`` on disk; removed unless it was renamed."""
    temporary = folder / f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
    try:
        # plain open, not tempfile: the file is to have the permissions the user's umask gives
        with temporary.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def user_errors(path: Path) -> Iterator[None]:
    """Turns the operating system's refusals into the error a user sees."""
    try:
        yield
    except OSError as error:
        raise LvtuneError(
            f"output '{path}' that cannot be written ({error.strerror or error})",
            "a folder that you may write to, on a disk with room",
            "choose another --out, or mend permissions and space",
        ) from error


def sync_folder(folder: Path) -> None:
    """Makes renames in ``folder`` last through a loss of power, where the system can."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Removes temporary files that killed processes left behind."""
    for left in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER:
                left.unlink()


def write_text(path: Path | str, text: str) -> Path:
    """`write_atomically` for text."""
    return write_atomically(path, text)
