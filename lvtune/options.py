"""Dataclasses from dictionaries: unknown keys and wrong types are told together, with the closest name."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

from lvtune.errors import LvtuneError
from lvtune.registry import suggest

C = TypeVar("C")


def build(cls: type[C], values: dict[str, Any], what: str = "option") -> C:
    """An instance of the dataclass ``cls``; strings are read as the fields' types.

    Args:
        cls: a dataclass with annotated fields.
        values: field name to value.
        what: word for a field in errors ("option of method lora").

    Raises:
        LvtuneError: unknown fields, or values of another type; all of them in one message.
    """
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    ready, given, fixes = {}, [], []
    for name, value in values.items():
        key = name.replace("-", "_")
        if key not in names:
            given.append(f"unknown {what} '{name}'")
            fixes.append(suggest(key, names, f"choose from {', '.join(names) or 'none'}"))
            continue
        try:
            ready[key] = convert(value, hints[key])
        except (ValueError, TypeError):
            given.append(f"{what} {key}={value!r}")
            fixes.append(f"give {key} as {type_name(hints[key])}")
    if given:
        raise LvtuneError("; ".join(given), f"fields of {what}: {', '.join(names)}", "; ".join(fixes))
    return cls(**ready)


def convert(value: Any, hint: Any) -> Any:
    """``value`` as the annotated type: int, float, bool, str, tuples of these, ``X | None``.

    Raises:
        ValueError, TypeError: it cannot be read so.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null")):
            return None
        return convert(value, next(a for a in args if a is not type(None)))
    if origin is tuple:
        parts = value.split(",") if isinstance(value, str) else list(value)
        kinds = [args[0]] * len(parts) if args[-1] is Ellipsis else list(args)
        if len(kinds) != len(parts):
            raise ValueError(value)
        return tuple(convert(p.strip() if isinstance(p, str) else p, k) for p, k in zip(parts, kinds, strict=True))
    if hint is bool:
        if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "1", "0"):
            return value.lower() in ("true", "yes", "1")
        if isinstance(value, bool):
            return value
        raise ValueError(value)
    if hint is int and (isinstance(value, bool) or (isinstance(value, float) and value != int(value))):
        raise ValueError(value)
    if hint in (int, float):
        return hint(value)
    if hint is str and not isinstance(value, str):
        raise ValueError(value)
    return value


def type_name(hint: Any) -> str:
    """How a user is told of the type."""
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}.get(hint, str(hint))
