"""Writes files in one step: even if the process is killed, a file holds its old bytes or its new ones."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from lvtune.core.errors import UsageError

_PREFIX, _SUFFIX = ".lvtune-", ".tmp"
_ABANDONED_AFTER = 3600.0  # seconds; no write takes so long
_SEAL = b"lvtune\0sha256\0\0\0"
_SEAL_BYTES = len(_SEAL) + hashlib.sha256().digest_size


def write_atomically(path: Path | str, data: bytes | str) -> Path:
    """Replaces ``path`` by ``data`` in one step; text is written as UTF-8. Several may write at once: the last wins.

    Raises:
        UsageError: the folder cannot be made or written, or the disk is full.
    """
    return _replace(Path(path), data)


def write_parts(path: Path | str, parts: Iterable[str]) -> Path:
    """Writes text as :func:`write_atomically` does, part by part, so that it need not fit into memory.

    Raises:
        UsageError: as :func:`write_atomically`.
    """
    return _replace(Path(path), parts)


def _replace(path: Path, data: bytes | str | Iterable[str]) -> Path:
    with user_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged(path.parent, data) as temporary:
            os.replace(temporary, path)
        sync_folder(path.parent)
    return path


@contextlib.contextmanager
def staged(folder: Path, data: bytes | str | Iterable[str]) -> Iterator[Path]:
    """Writes ``data`` to a temporary file in ``folder`` and yields its path; removes it unless it was renamed."""
    temporary = folder / f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
    try:
        # tempfile would make it readable by its owner alone; open() follows the user's umask
        with temporary.open("xb") as file:
            for part in [data] if isinstance(data, bytes | str) else data:
                file.write(part.encode() if isinstance(part, str) else part)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def user_errors(path: Path) -> Iterator[None]:
    """Turns an OSError while ``path`` is written into a UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"output '{path}' that cannot be written ({error.strerror or error})",
            "a folder that you may write to, on a disk with room",
            "choose another --out, or correct the permissions, or free some space",
        ) from error


def sync_folder(folder: Path) -> None:
    """Writes the entries of ``folder`` to the disk, so that a rename outlasts a loss of power; where the system can."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Removes the temporary files that killed processes left in ``folder`` over an hour ago."""
    for left in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER:
                left.unlink()


def write_text(path: Path | str, text: str) -> Path:
    """Writes text as :func:`write_atomically` does."""
    return write_atomically(path, text)


def sealed(data: bytes) -> bytes:
    """Returns the bytes with their sha256 behind them, by which :func:`is_sealed` tells whole files from damaged ones.

    For formats that say themselves where they end, such as Arrow streams and numpy's arrays.
    """
    return data + _SEAL + hashlib.sha256(data).digest()


def append_seal(path: Path) -> None:
    """Does to a file what :func:`sealed` does to bytes."""
    with path.open("r+b") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0, os.SEEK_END)
        file.write(_SEAL + digest)
        file.flush()
        os.fsync(file.fileno())


def is_sealed(path: Path) -> bool:
    """Returns True if a file ends with the sha256 of what stands before it."""
    size = path.stat().st_size - _SEAL_BYTES
    if size < 0:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (part := file.read(min(size, 2**20))):
            digest.update(part)
            size -= len(part)
        return size == 0 and file.read() == _SEAL + digest.digest()
