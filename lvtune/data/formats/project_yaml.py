"""Reads the YAML files that other tools keep their projects in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvtune.core.bounded_yaml import LARGEST_FILE, load_yaml_text
from lvtune.core.errors import DataError


def load_yaml(path: Path) -> dict[str, Any]:
    """Returns the table in a YAML file; tags that would build objects are refused.

    Raises:
        DataError: not a YAML file with a table, or one that cannot be read.
    """
    import yaml

    try:
        values = load_yaml_text(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{path}: {reason}", "a YAML file", "correct the file there") from None
    if not isinstance(values, dict):
        raise DataError(f"{path}", "a YAML file with `name: value` lines", "check the file")
    return values


def peek_yaml(path: Path) -> dict[str, Any]:
    """Returns the table in a YAML file, or {} where there is none."""
    try:
        return load_yaml(path) if path.is_file() and path.stat().st_size <= LARGEST_FILE else {}
    except (DataError, OSError):
        return {}
