"""Hashes the content of a table's pictures, so that a run can tell whether pictures were replaced in place."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lvtune.data.mixed import MixedTable
from lvtune.data.picture_check import PicturesOf

_THREADS = 4
_KNOWN: dict[tuple[str, int, int, int, int], bytes] = {}
"""Digests of this process by path, inode, size and times: several runs on one data set read it once."""


def pictures_mark(table: PicturesOf | MixedTable) -> str:
    """Returns the sha256 over the bytes of a table's pictures, each once, in the order of the table.

    Names are not in it (the table's fingerprint holds them), so it stays where a folder is moved or spelled otherwise.

    Args:
        table: of persons or hands. Of drawn pictures, which lie in no file, the mark is empty.
    """
    if getattr(table, "draw", None) is not None or not len(table):
        return ""
    names = table.column("image").astype(str)
    rows = np.sort(np.unique(names, return_index=True)[1])
    return files_mark([table.image_path(int(row)) for row in rows])


def files_mark(files: Sequence[Path]) -> str:
    """Returns the sha256 over the bytes of files, in this order; a file that is not there counts as such."""
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = pool.map(_digest, files, chunksize=16)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def path_mark(path: Path) -> str:
    """Returns the sha256 over a file, or over all files of a folder with their names in it."""
    if not path.is_dir():
        return files_mark([path])
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = "\n".join(str(file.relative_to(path)) for file in files)
    return hashlib.sha256(f"{names}\n{files_mark(files)}".encode("utf-8", "surrogateescape")).hexdigest()


def _digest(file: Path) -> bytes:
    """32 bytes; zeros where there is no regular file that can be read."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return bytes(32)
        key = (str(file.absolute()), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if key not in _KNOWN:
            with file.open("rb") as opened:
                _KNOWN[key] = hashlib.file_digest(opened, "sha256").digest()
        return _KNOWN[key]
    except (OSError, ValueError):
        return bytes(32)
