"""Formats what commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lvtune.config.schema import plain, show
from lvtune.core.text import escape_json, one_line


def to_json(values: Mapping[str, Any]) -> str:
    r"""Returns one JSON object; numbers of numpy become plain ones, what is not finite becomes null.

    Control characters, which stand inside strings alone, are written as ``\u001b``.
    """
    text = json.dumps(_finite(plain(values)), indent=2, ensure_ascii=False, allow_nan=False)
    return escape_json(text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    return None if isinstance(value, float) and value - value != 0 else value


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], left: Collection[int] = (0,)) -> str:
    """Returns a table with aligned columns: those of ``left`` to the left, the others to the right. None is a dash."""
    cells = [[one_line(cell) for cell in header]] + [[one_line(number(cell)) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        sides = ("<" if i in left else ">" for i in range(len(row)))
        lines.append("  ".join(f"{cell:{side}{w}}" for cell, side, w in zip(row, sides, widths, strict=True)).rstrip())
    return "\n".join(lines)


def alike(names: Iterable[str]) -> list[tuple[str, list[int]]]:
    """Puts names together that differ only in numbers, such as those of the blocks of an encoder.

    Returns:
        pairs of a name, with stars in place of the numbers where several names share it, and their places in ``names``.
    """
    groups: dict[str, list[tuple[int, str]]] = {}
    for place, name in enumerate(names):
        groups.setdefault(re.sub(r"(?<=[./])\d+(?=[./]|$)", "*", name), []).append((place, name))
    return [(key if len(all_) > 1 else all_[0][1], [place for place, _ in all_]) for key, all_ in groups.items()]


def tensor_rows(tensors: Sequence[Mapping[str, Any]], *columns: str) -> list[list[Any]]:
    """Returns rows for a table of tensors: name, shape, values of ``columns``, count. Tensors that are alike share one.

    Args:
        tensors: each with ``name``, ``shape`` and ``columns``.
    """
    kinds: dict[tuple[Any, ...], list[str]] = {}
    for tensor in tensors:
        shape = "x".join(map(str, tensor["shape"])) or "1"
        kinds.setdefault((shape, *(tensor[name] for name in columns)), []).append(tensor["name"])
    order = {tensor["name"]: place for place, tensor in enumerate(tensors)}
    rows = [
        (order[names[places[0]]], [name, *kind, len(places)])
        for kind, names in kinds.items()
        for name, places in alike(names)
    ]
    return [row for _, row in sorted(rows)]


def number(value: Any) -> str:
    """Returns the text of a cell: two decimals for fractions, commas between thousands, a dash for None."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def outline(values: Mapping[str, Any], indent: str = "") -> str:
    """Returns nested tables as indented ``name: value`` lines, with values as a user would type them."""
    lines = []
    for key, value in values.items():
        name = one_line(str(key))
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:", outline(value, indent + "  ")]
        elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping) for inner in value):
            lines += [f"{indent}{name}:", *(f"{indent}  {one_line(show(inner))}" for inner in value)]
        elif isinstance(value, list | tuple) and any(isinstance(inner, str) and " " in inner for inner in value):
            lines += [f"{indent}{name}:", *(f"{indent}  - {one_line(inner)}" for inner in value)]
        else:
            lines.append(f"{indent}{name}: {one_line(show(value)) or '-'}")
    return "\n".join(lines)
