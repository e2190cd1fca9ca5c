"""Reads the report of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError
from lvtune.core.strict_json import read_json


def read_report(file: Path) -> dict[str, Any]:
    """Returns what a run wrote into ``report.json``.

    Raises:
        DataError: the file cannot be read, or is no report.
    """
    values = read_json(file, error=DataError, fix="remove it")
    if not isinstance(values, dict):
        raise DataError(f"{file}, which holds no table", "the report of a run", "remove it")
    return values
