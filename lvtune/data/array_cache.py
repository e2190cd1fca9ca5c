"""Cached numpy arrays: each a ``.npy`` file with a checksum behind it, mapped into memory."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np

from lvtune.core.files import is_sealed, sealed, write_atomically

_log = logging.getLogger(__name__)


def read_array(file: Path) -> np.ndarray | None:
    """Returns a cached array, read-only and memory-mapped; None where there is none, or where it is damaged.

    A damaged file is noted; whoever asks computes the array again and writes it.
    """
    try:
        if not file.is_file():
            return None
        if is_sealed(file):
            return np.load(file, mmap_mode="r", allow_pickle=False)
        why = "it is damaged"
    except (OSError, ValueError, EOFError) as error:
        why = str(error).partition("\n")[0]
    _log.warning("note: the cached array %s is made again (%s)", file, why)
    return None


def write_array(file: Path, array: np.ndarray) -> np.ndarray:
    """Writes an array in one step and returns it as :func:`read_array` does; several processes may write at once.

    Raises:
        LvtuneError: the folder cannot be written.
    """
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    write_atomically(file, sealed(buffer.getvalue()))
    return np.load(file, mmap_mode="r", allow_pickle=False)
