"""Makes sure that an HDF5 file can be read: within a limited time, and without taking the process down."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from lvtune.core.errors import DataError
from lvtune.data.formats import hdf5_reading

SECONDS = 60.0
"""To read a small file; generous, for machines that others use too."""
BYTES_A_SECOND = 2e6
"""The slowest disk that is waited for."""


def check_hdf5(path: Path, expected: str, fix: str) -> None:
    """Reads a file in another process first.

    Args:
        path: the file.
        expected: what it should be, for the error.
        fix: what to do then.

    Raises:
        DataError: it cannot be read to its end, takes too long, leads into other files, or says that it holds more
            than is stored.
    """
    about = os.stat(path)
    fault = _fault(str(path), about.st_size, about.st_mtime_ns)
    if fault:
        raise DataError(f"{path}, which cannot be read ({fault})", expected, fix)


@contextlib.contextmanager
def one_reader() -> Iterator[None]:
    """Within it one process reads all files: to start one takes longer than to read a small file."""
    reader = _Reader()
    token = _current.set(reader)
    try:
        yield
    finally:
        _current.reset(token)
        reader.close()


@functools.lru_cache(maxsize=64)
def _fault(path: str, size: int, changed: int) -> str:
    """What is wrong with a file of this size and date; empty: nothing."""
    reader = _current.get()
    # a process that was forked must not talk to its parent's reader
    if reader is not None and reader.owner == os.getpid():
        return reader.fault(path, size)
    with one_reader():
        return _fault.__wrapped__(path, size, changed)


class _Reader:
    """A process that reads files one after the other; where one ends it, the next file gets a new one."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._process: subprocess.Popen[str] | None = None

    def fault(self, path: str, size: int) -> str:
        """Returns what is wrong with a file of so many bytes; empty: nothing."""
        process = self._running()
        limit, late = SECONDS + size / BYTES_A_SECOND, threading.Event()
        timer = threading.Timer(limit, lambda: (late.set(), process.kill()))
        timer.daemon = True
        timer.start()
        try:
            assert process.stdin is not None and process.stdout is not None
            with contextlib.suppress(OSError):  # it ended already
                process.stdin.write(json.dumps(path) + "\n")
                process.stdin.flush()
            answer = process.stdout.readline()
        finally:
            timer.cancel()
        if answer:
            return " ".join(str(json.loads(answer)).split())[:150]
        code = process.wait()
        self.close()
        if late.is_set():
            return f"the HDF5 library did not come to an end in {limit:.0f} s"
        return "the HDF5 library crashed" if code < 0 else "the HDF5 library gave up"

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                process.communicate()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, "-P", hdf5_reading.__file__]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="ascii"
            )
        return self._process


_current: ContextVar[_Reader | None] = ContextVar("lvtune_hdf5_reader", default=None)
