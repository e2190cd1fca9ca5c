"""Makes sure that an HDF5 file can be read: within a limited time, and without taking the process down."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
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


@functools.lru_cache(maxsize=64)
def _fault(path: str, size: int, changed: int) -> str:
    """What is wrong with a file of this size and date; empty: nothing."""
    command = [sys.executable, "-P", hdf5_reading.__file__, path]
    limit = SECONDS + size / BYTES_A_SECOND
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"the HDF5 library did not come to an end in {limit:.0f} s"
    if done.returncode < 0:
        return "the HDF5 library crashed"
    if done.returncode:
        said = (done.stdout or done.stderr).decode("utf-8", "replace").strip()
        return " ".join(said.splitlines()[-1].split())[:150] if said else "the HDF5 library gave up"
    return ""
