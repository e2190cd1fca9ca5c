"""Pickles of numbers, read without running any code that they name.

A pickle is a program: it may call whatever it can import. Here it can import nothing. The few names that pickles of
numpy arrays need are met by stand-ins of our own, which rebuild arrays of plain numbers from their bytes and refuse
the rest; every other name is an error before anything happens.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import LvtuneError

_PLAIN = "biufc"  # kinds of numpy types: truth values, whole, real and complex numbers
_DEEPEST = 50
_BUILTINS = ("builtins", "__builtin__")


class _Refused(Exception):
    """What a pickle asked for and does not get."""


class _Type:
    """Stands for a dtype; takes its byte order from the state."""

    def __init__(self, name: object, *_: object) -> None:
        text = name.decode("latin1") if isinstance(name, bytes) else name
        if not isinstance(text, str) or len(text) > 8:
            raise _Refused(f"the array type {str(name)[:40]!r}")
        try:
            self.dtype = np.dtype(text)
        except TypeError:
            raise _Refused(f"the array type {text!r}") from None
        if self.dtype.kind not in _PLAIN:
            raise _Refused(f"arrays of type {text!r}")

    def __setstate__(self, state: tuple) -> None:
        order = state[1].decode() if isinstance(state[1], bytes) else state[1]
        if order not in "<>=|" or any(part is not None for part in state[2:5]):
            raise _Refused("an array type with fields")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for an array, which the state fills."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        shape, kind, is_fortran, content = state[-4:]
        self.value = _filled(content, kind, shape, "F" if is_fortran else "C")


def _filled(content: object, kind: object, shape: object, order: str) -> np.ndarray:
    if not isinstance(kind, _Type) or not isinstance(shape, tuple):
        raise _Refused("an array without type or shape")
    raw = content.encode("latin1") if isinstance(content, str) else content
    sound = isinstance(raw, bytes | bytearray) and all(isinstance(n, int) and n >= 0 for n in shape)
    if not sound or math.prod(shape) * kind.dtype.itemsize != len(raw):
        raise _Refused("an array whose bytes do not fit its shape")
    return np.frombuffer(raw, kind.dtype).reshape(shape, order=order).copy()


class _ArrayClass:
    """Stands for the class ``numpy.ndarray``, which is named but never called."""


def _reconstruct(kind: object, *_: object) -> _Array:
    if kind is not _ArrayClass:
        raise _Refused(f"an array of class {str(kind)[:40]}")
    return _Array()


def _from_buffer(content: object, kind: object, shape: object, order: object) -> np.ndarray:
    if isinstance(content, pickle.PickleBuffer):
        content = content.raw().tobytes()
    return _filled(content, kind, shape, "F" if order == "F" else "C")


def _scalar(kind: object, content: object) -> Any:
    return _filled(content, kind, (), "C")[()]


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused(f"a conversion by {str(encoding)[:40]!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Protocols 0 to 2 write the empty bytes as a call."""
    return b""


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _ArrayClass,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    **{(module, kind.__name__): kind for module in _BUILTINS for kind in (set, frozenset)},
    **{(module, "bytes"): _no_bytes for module in _BUILTINS},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _Refused(f"{module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: object) -> Any:
        raise _Refused("something outside the file")


def load_numbers(path: str | Path) -> Any:
    """What is in a pickle of dicts, lists, tuples, sets, strings, numbers and numpy arrays of numbers.

    Written by Python 2 or 3, in any protocol.

    Raises:
        LvtuneError: no such file, not a pickle, broken, or a pickle that asks for anything else; none of its code
            has run.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise LvtuneError(f"{file}: {error.strerror}", "a file that can be read", "check the path") from None
    return plain_of(content, str(file))


def plain_of(content: bytes, name: str) -> Any:
    """What is in the bytes of such a pickle.

    Args:
        content: a pickle, as in a file of :func:`load_numbers`.
        name: of the file or attribute, for errors.

    Raises:
        LvtuneError: as :func:`load_numbers`.
    """
    try:
        # Python 2 wrote bytes as strings: latin1 keeps each byte
        return _unwrapped(_Reader(io.BytesIO(content), encoding="latin1").load(), 0)
    except _Refused as refused:
        raise LvtuneError(
            f"{name}: a pickle that asks for {refused}",
            "containers, numbers and numpy arrays of numbers alone",
            "do not open it otherwise: a pickle runs whatever it names. Download the data set again",
        ) from None
    except Exception as error:
        # the opcodes of a broken file can fail in any way; nothing of it has been called
        raise LvtuneError(
            f"{name}: not a pickle, or broken ({type(error).__name__})",
            "a whole pickle of numbers",
            "copy or download the file again",
        ) from None


def _unwrapped(value: Any, depth: int) -> Any:
    """The value with arrays in place of their stand-ins."""
    if depth > _DEEPEST:
        raise _Refused("containers within containers without end")
    if isinstance(value, _Array):
        if value.value is None:
            raise _Refused("an array without content")
        return value.value
    if isinstance(value, dict):
        return {key: _unwrapped(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_unwrapped(one, depth + 1) for one in value)
    if isinstance(value, _Type) or value is _ArrayClass:
        raise _Refused("a type where a value should be")
    return value
