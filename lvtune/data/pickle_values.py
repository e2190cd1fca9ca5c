"""What pickles of numpy arrays name, done by functions of our own that make arrays of plain numbers from bytes."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from lvtune.core.strict_json import short

_PLAIN = "biufc"  # kinds of numpy types: truth values, whole, real and complex numbers
_LONGEST_SIDE = 2**31


class Refused(Exception):
    """Says what a pickle asks for and does not get."""


class KnownName:
    """One of the names that are known, on the stack until it is called."""

    def __init__(self, make: Callable[..., Any] | None) -> None:
        self.make = make


class NumberType:
    """A numpy type; its state tells the byte order."""

    def __init__(self, name: Any, *_: Any) -> None:
        text = name.decode("latin1") if isinstance(name, bytes) else name
        if not isinstance(text, str) or len(text) > 8:
            raise Refused(f"the array type {short(name)}")
        try:
            self.dtype = np.dtype(text)
        except (TypeError, ValueError):
            raise Refused(f"the array type {short(text)}") from None
        if self.dtype.kind not in _PLAIN:
            raise Refused(f"arrays of type {short(text)}")

    def set_state(self, state: Any) -> None:
        """Takes the byte order from ``(version, order, fields ...)``."""
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise Refused("an array type with fields")
        self.dtype = self.dtype.newbyteorder(order)


class UnfilledArray:
    """An array that waits for its state, which holds its content."""

    def __init__(self) -> None:
        self.remembered: list[int] = []
        """Numbers under which it is remembered."""


_ARRAY_CLASS = KnownName(None)


def size_of(value: Any) -> int:
    """Returns about how many bytes a copy of a value takes, without what is inside containers inside it."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    return 100 * len(value) if isinstance(value, list | tuple | dict | set | frozenset) else 0


def filled_array(content: Any, kind: Any, shape: Any, order: str) -> np.ndarray:
    """Returns the array of these bytes."""
    if not isinstance(kind, NumberType) or not isinstance(shape, tuple):
        raise Refused("an array without type or shape")
    raw = content.encode("latin1") if isinstance(content, str) else content
    sound = isinstance(raw, bytes | bytearray) and all(type(n) is int and 0 <= n <= _LONGEST_SIDE for n in shape)
    if not sound or len(shape) > 32 or math.prod(shape) * kind.dtype.itemsize != len(raw):
        raise Refused("an array whose bytes do not fit its shape")
    return np.frombuffer(raw, kind.dtype).reshape(shape, order=order).copy()  # type: ignore[call-overload]


def _empty_array(kind: Any, *_: Any) -> UnfilledArray:
    if kind is not _ARRAY_CLASS:
        raise Refused(f"an array of class {short(type(kind).__name__)}")
    return UnfilledArray()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    return filled_array(content, kind, shape, "F" if order == "F" else "C")


def _scalar(kind: Any, content: Any) -> Any:
    return filled_array(content, kind, (), "C")[()]


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused(f"a conversion by {short(encoding)}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Protocols 0 to 2 write the empty bytes as a call."""
    return b""


KNOWN: dict[tuple[str, str], KnownName] = {
    ("numpy", "ndarray"): _ARRAY_CLASS,
    ("numpy", "dtype"): KnownName(NumberType),
    ("_codecs", "encode"): KnownName(_encoded),
    ("collections", "OrderedDict"): KnownName(OrderedDict),
    **{
        (f"numpy.{core}.{module}", name): KnownName(make)
        for core in ("core", "_core")
        for module, name, make in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    **{
        (module, name): KnownName(make)
        for module in ("builtins", "__builtin__")
        for name, make in (("set", set), ("frozenset", frozenset), ("bytes", _no_bytes))
    },
}
"""Module and name to what is done in their place."""
