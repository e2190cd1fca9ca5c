"""Turns values from the command line and from YAML into the types of annotated fields."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Union

_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and halves of characters: no file name holds the one, no UTF-8 file the others."""


def describe(hint: Any) -> str:
    """Returns a type in the user's words, such as "a whole number"."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    if hint in plain:
        return plain[hint]
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in args)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(a) for a in args if a is not type(None))
    if origin in (tuple, list):
        inner = [a for a in args if a is not Ellipsis]
        return f"a list such as {','.join([_sample(a) for a in inner] * (2 if Ellipsis in args else 1))}"
    return "names with values, such as NAME=VALUE" if origin is dict or hint is dict else "a value"


def _sample(hint: Any) -> str:
    return {int: "4", float: "0.5", str: "a"}.get(hint, "…")


def coerce(value: Any, hint: Any) -> Any:
    """Returns ``value`` as the type ``hint``. Text is parsed: the command line gives nothing else.

    Raises:
        ValueError: the value is not of that type.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _coerce_union(value, args)
    if origin is Literal:
        words = ("yes", "true") if value is True else ("no", "false") if value is False else (str(value),)
        for choice in args:  # YAML reads a bare yes and no as true and false
            if str(choice) in words:
                return choice
        raise ValueError(value)
    if origin in (tuple, list):
        return _coerce_sequence(value, origin, args)
    if origin is dict or hint is dict:
        return _coerce_table(value, args)
    return _SIMPLE.get(hint, lambda v: v)(value)


def _coerce_union(value: Any, args: tuple[Any, ...]) -> Any:
    if type(None) in args and (value is None or value in ("none", "null", "")):
        return None
    for arg in (a for a in args if a is not type(None)):
        try:
            return coerce(value, arg)
        except ValueError:
            continue
    raise ValueError(value)


def _coerce_sequence(value: Any, origin: type, args: tuple[Any, ...]) -> Any:
    if isinstance(value, str):
        value = [part.strip() for part in value.strip("()[] ").split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError(value)
    if origin is tuple and Ellipsis not in args:
        if len(value) != len(args):
            raise ValueError(value)
        return tuple(coerce(v, a) for v, a in zip(value, args, strict=True))
    return origin(coerce(v, args[0]) for v in value) if args else origin(value)


def _coerce_table(value: Any, args: tuple[Any, ...]) -> dict[str, Any]:
    if isinstance(value, str):
        # a comma inside a value, such as a sentence, begins no new pair
        pairs = [part.partition("=") for part in re.split(r",(?=[^,=]*=)", value) if part.strip()]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError(value)
        value = {name.strip(): text.strip() for name, _, text in pairs}
    if not isinstance(value, Mapping):
        raise ValueError(value)
    return {str(k): coerce(v, args[1]) if args else v for k, v in value.items()}


def _number(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(value)
        try:
            number = float(value)
        except OverflowError as error:
            raise ValueError(kind) from error
        if not math.isfinite(number) or (kind is int and number != int(number)):
            raise ValueError(value)
        return int(value) if isinstance(value, int) else kind(number)

    return parse


def _boolean(value: Any) -> bool:
    known = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False}
    known["0"] = False
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise ValueError(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple | bool) or value is None:
        raise ValueError(value)
    text = str(value)
    if _UNWRITABLE.search(text):
        raise ValueError(value)
    return text


_SIMPLE: dict[Any, Callable[[Any], Any]] = {
    bool: _boolean,
    int: _number(int),
    float: lambda v: float(_number(float)(v)),
    str: _text,
    Path: lambda v: v if isinstance(v, Path) else Path(_text(v)),
}
