"""Nested tables of options: merging two, and flattening one to dotted names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_tables(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Returns both tables in one; where both have a value, that of ``above`` is taken. Tables within merge likewise."""
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge_tables(merged[name], value) if both else value
    return merged


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of a nested table by dotted names, as JSON holds them: tuples become lists.

    Options that are None are left out, so that an option which a later version adds, and which nobody sets, changes
    nothing.
    """
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{name}.")
        elif value is not None:
            leaves[prefix + name] = list(value) if isinstance(value, tuple) else value
    return leaves
