"""Reads a JSON file, with errors that say what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError

MAX_BYTES = 4 * 2**30
"""Larger files are not read; the annotations of COCO have half a GB."""


def load_json(path: Path, what: str = "annotation file") -> Any:
    """Parses a JSON file, with or without a byte order mark.

    Raises:
        DataError: missing, a folder, unreadable, or not JSON.
    """
    if not path.exists():
        raise DataError(f"no {what} at {path}", "a JSON file", "check the path")
    if path.is_dir():
        raise DataError(f"{path}, a folder", f"a JSON {what}", "name the file in it")
    if not path.is_file():
        raise DataError(f"{path}, which is no regular file", f"a JSON {what}", "name a file")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(
            f"{path} of {path.stat().st_size / 1e9:.1f} GB", f"at most {MAX_BYTES / 1e9:.1f} GB", "split it"
        )
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # JSONDecodeError, UnicodeDecodeError
        raise DataError(
            f"{what} {path} that is not JSON ({error})", "a whole JSON file", "fetch or write it again"
        ) from None
    except OSError as error:
        raise DataError(
            f"{what} {path} that cannot be read ({error.strerror})", "a readable file", "check its permissions"
        ) from None
