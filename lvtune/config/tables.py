"""Nested tables of options, as YAML files, reports and the command line give them: merged, flattened, cleaned.

Some options come in pairs of which only one counts: ``steps`` instead of ``epochs``. The field of the one says so in
its metadata, under ``instead_of``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lvtune.config.schema import hints_of, replaced_by, rivals_of


def merge(below: Mapping[str, Any], above: Mapping[str, Any], cls: type | None = None) -> dict[str, Any]:
    """Returns nested tables with the values of ``above`` over those of ``below``.

    Args:
        below: for example what a file says.
        above: for example what the command line says.
        cls: the dataclass of the options. With it, an option of ``above`` also removes the option of ``below`` that it
            takes the place of: ``steps`` removes ``epochs``, and ``epochs`` removes ``steps``.
    """
    merged = dict(below)
    rivals = rivals_of(cls) if cls is not None else {}
    for name, value in above.items():
        if value is not None:
            for rival in rivals.get(name, ()):
                merged.pop(rival, None)
        inner = merged.get(name)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            merged[name] = merge(inner, value, _part(cls, name))
        else:
            merged[name] = value
    return merged


def without_replaced(values: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """Returns ``values`` without the options whose place another one takes, such as ``epochs`` beside ``steps``.

    The reports of earlier versions hold both.

    Args:
        values: nested tables.
        cls: the dataclass of the options.
    """
    replaced = {other for name, others in replaced_by(cls).items() if values.get(name) is not None for other in others}
    cleaned = {name: value for name, value in values.items() if name not in replaced}
    for name, value in cleaned.items():
        part = _part(cls, name)
        if part is not None and isinstance(value, Mapping):
            cleaned[name] = without_replaced(value, part)
    return cleaned


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the leaves of nested tables under dotted names, tuples as lists, without those that are None.

    An option that a later version adds and that a run does not use therefore makes no difference between two runs.
    """
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{name}.")
        elif value is not None:
            leaves[prefix + name] = list(value) if isinstance(value, tuple) else value
    return leaves


def _part(cls: type | None, name: str) -> type | None:
    """The dataclass of the field ``name``; None if it is no table of options."""
    hint = hints_of(cls).get(name) if cls is not None else None
    return hint if dataclasses.is_dataclass(hint) and isinstance(hint, type) else None
