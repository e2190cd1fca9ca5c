"""Rows of float16 numbers in one file that several processes read and write at once.

Each row has a head of 16 bytes: the mark of what it was computed from, and a checksum over the mark and the numbers. A
row whose checksum is wrong counts as not there: one that nobody has written, that a killed process has left half
written, or that two processes write at this moment. The checksum is compared each time a row is read. So nobody needs
to wait for anybody. The file is sparse where the system has such files: rows that nobody has written take no room.

The file is read and not mapped into memory: each row that is used is copied anyway, and where a disk in memory (tmpfs)
is full, looking at a mapped row that nobody has written kills the process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xxhash

_HEAD = 16  # two numbers of 64 bits


def mark_of(values: np.ndarray) -> int:
    """Returns a mark of 64 bits of an array's bytes."""
    return xxhash.xxh3_64_intdigest(np.ascontiguousarray(values).data)


def row_bytes(numbers: int) -> int:
    """Returns the bytes that a row of so many numbers takes in a file."""
    return _HEAD + 2 * numbers


class FeatureRows:
    """The rows of one file.

    Args:
        file: exists; its length says how many rows there are.
        numbers: in a row.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, file: Path, numbers: int) -> None:
        self.numbers, self._stride = numbers, row_bytes(numbers)
        self._handle = os.open(file, os.O_RDWR | getattr(os, "O_BINARY", 0))
        self.count = os.fstat(self._handle).st_size // self._stride
        self.is_full = False
        """True: the disk had no room for a row; nothing is written any more."""

    def read(self, rows: np.ndarray, marks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Returns (n,) which of the rows are there, and (n, numbers) their numbers, float16.

        Args:
            rows: (n,) places; one beyond the end of the file is not there.
            marks: of what each row has to be computed from.
        """
        is_there, values = rows < self.count, np.zeros((len(rows), self._stride), np.uint8)
        for place in np.flatnonzero(is_there).tolist():
            values[place] = self._got(int(rows[place]) * self._stride)
            mark, checksum = values[place, :_HEAD].view(np.uint64)
            is_there[place] = int(mark) == marks[place] and int(checksum) == _checksum(values[place])
        return is_there, values[:, _HEAD:].view(np.float16)

    def write(self, rows: np.ndarray, marks: Sequence[int], values: np.ndarray) -> np.ndarray:
        """Writes rows (n, numbers), and returns (n,) which were written; those beyond the end are left out.

        A disk without room is no error: what is not there is computed again.
        """
        written = np.zeros(len(rows), bool)
        for place, (row, mark, numbers) in enumerate(zip(rows.tolist(), marks, values, strict=True)):
            if row >= self.count or self.is_full:
                continue
            record = np.zeros(self._stride, np.uint8)
            record[:8].view(np.uint64)[0] = mark
            record[_HEAD:] = np.ascontiguousarray(numbers, np.float16).view(np.uint8)
            record[8:_HEAD].view(np.uint64)[0] = _checksum(record)
            try:
                written[place] = self._put(record, row * self._stride)
            except OSError:  # no room, or a limit of the user's
                self.is_full = True
        return written

    def _put(self, record: np.ndarray, place: int) -> bool:
        """Writes at a place of the file, without its position, which other threads might move."""
        if hasattr(os, "pwrite"):
            return os.pwrite(self._handle, record.tobytes(), place) == len(record)
        os.lseek(self._handle, place, os.SEEK_SET)
        return os.write(self._handle, record.tobytes()) == len(record)

    def _got(self, place: int) -> np.ndarray:
        """Reads a row at a place of the file; zeros, which are no row, where that fails."""
        with contextlib.suppress(OSError):
            if hasattr(os, "pread"):
                found = os.pread(self._handle, self._stride, place)
            else:
                os.lseek(self._handle, place, os.SEEK_SET)
                found = os.read(self._handle, self._stride)
            if len(found) == self._stride:
                return np.frombuffer(found, np.uint8)
        return np.zeros(self._stride, np.uint8)

    def close(self) -> None:
        """Closes the file."""
        self.count = 0
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                os.close(self._handle)
            self._handle = -1


def _checksum(record: np.ndarray) -> int:
    """Of a whole record; the field of the checksum itself is left out."""
    return xxhash.xxh3_64_intdigest(record[_HEAD:].data, seed=int(record[:8].view(np.uint64)[0]))
