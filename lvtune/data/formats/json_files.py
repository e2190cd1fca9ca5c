"""Looks at JSON files once, to find out which tool wrote them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError

_LARGEST = 2 * 1024**3


def load(path: Path) -> Any:
    """Returns what a JSON file holds; the last file read is kept, since each format looks at it in turn.

    Raises:
        DataError: not JSON, or not to be read.
    """
    try:
        about = path.stat()
        return _load(path, about.st_mtime_ns, about.st_size)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: {str(error)[:100]}", "a JSON file", "export it again") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "a file that can be read", "check the path") from None


@functools.lru_cache(maxsize=2)
def _load(path: Path, _changed: int, size: int) -> Any:
    if size > _LARGEST:
        raise ValueError(f"{size} bytes: too many")
    return json.loads(path.read_bytes().decode("utf-8-sig"))


def forget() -> None:
    """Drops the files that are kept in memory."""
    _load.cache_clear()


def peek(path: Path) -> Any:
    """Returns what a JSON file holds, or None where it is none."""
    try:
        return load(path) if path.is_file() and path.suffix.lower() == ".json" else None
    except DataError:
        return None


def json_in(folder: Path) -> list[Path]:
    """Returns the JSON files in a folder, sorted by name."""
    return sorted(path for path in folder.glob("*.json") if path.is_file())
