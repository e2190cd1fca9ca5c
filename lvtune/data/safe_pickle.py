"""Reads pickles of numbers without running any code that they name.

A pickle is a program for a small machine with a stack. Python's own machine calls whatever the program names, and
allocates whatever it says. This one knows the instructions that build containers, numbers and text, and four names
that pickles of numpy arrays need, which it does itself; everything else is an error. Each instruction is counted, so
that a small file can neither run for hours nor fill the memory.
Source of the instructions: https://github.com/python/cpython, Lib/pickletools.py.
"""

from __future__ import annotations

import codecs
import io
import math
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.strict_json import short

_PLAIN = "biufc"  # kinds of numpy types: truth values, whole, real and complex numbers
_DEEPEST = 50
_MOST_BYTES = 2**31
_MOST_STEPS = 50_000_000
_LEAST_MEMORY = 64 * 2**20
_COST = {"EMPTY_LIST": 64, "LIST": 64, "EMPTY_DICT": 72, "DICT": 200, "EMPTY_SET": 224, "FROZENSET": 224, "REDUCE": 200}
"""Bytes that an instruction takes at most, as far as it is more than those of most."""


class _Refused(Exception):
    """Says what a pickle asks for and does not get."""


class _Name:
    """One of the names that are known, on the stack until it is called."""

    def __init__(self, make: Callable[..., Any] | None) -> None:
        self.make = make


class _Type:
    """A numpy type; its state tells the byte order."""

    def __init__(self, name: Any, *_: Any) -> None:
        text = name.decode("latin1") if isinstance(name, bytes) else name
        if not isinstance(text, str) or len(text) > 8:
            raise _Refused(f"the array type {short(name)}")
        try:
            self.dtype = np.dtype(text)
        except (TypeError, ValueError):
            raise _Refused(f"the array type {text!r}") from None
        if self.dtype.kind not in _PLAIN:
            raise _Refused(f"arrays of type {text!r}")

    def set_state(self, state: Any) -> None:
        """Takes the byte order from ``(version, order, fields ...)``."""
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise _Refused("an array type with fields")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array that waits for its state, which holds its content."""

    def __init__(self) -> None:
        self.remembered: list[int] = []
        """Numbers under which it is remembered."""


class _Mark:
    """Stands on the stack where an instruction will begin to collect."""


_MARK = _Mark()
_ARRAY_CLASS = _Name(None)


def load_numbers(path: str | Path) -> Any:
    """Reads a pickle of dicts, lists, tuples, sets, text, numbers and numpy arrays of numbers.

    Args:
        path: of a file that Python 2 or 3 wrote, in any protocol.

    Raises:
        DataError: no such file, not a pickle, broken, too large, or a pickle that asks for anything else; none of its
            code has run.
    """
    file = Path(path)
    shown = short(file, quote=False)
    try:
        if file.exists() and not file.is_file():
            raise DataError(f"{shown}: not a regular file", "a file that can be read", "check the path")
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{shown}: {why}", "a file that can be read", "check the path") from None
    return plain_of(content, str(file))


def plain_of(content: bytes, name: str) -> Any:
    """Reads the bytes of such a pickle.

    Args:
        content: a pickle, as in a file of :func:`load_numbers`.
        name: of the file or attribute, for errors.

    Raises:
        DataError: as :func:`load_numbers`.
    """
    name = short(name, quote=False)
    if len(content) > _MOST_BYTES:
        raise DataError(f"{name}: {len(content):,} bytes", f"at most {_MOST_BYTES:,}", "split the file")
    try:
        value = _Machine(content).run()
        _check_depth(value)
        return value
    except _Refused as refused:
        raise DataError(
            f"{name}: a pickle that asks for {refused}",
            "containers, numbers and numpy arrays of numbers alone",
            "do not open it otherwise: a pickle runs whatever it names. Download the data set again",
        ) from None
    except (
        ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, RecursionError, MemoryError,
        EOFError,
    ) as error:  # fmt: skip
        # a broken file can fail at any instruction; nothing of it has been called
        raise DataError(
            f"{name}: not a pickle, or broken ({type(error).__name__})", "a whole pickle of numbers",
            "copy or download the file again",
        ) from None  # fmt: skip


class _Machine:
    """Runs one pickle."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.left = max(_LEAST_MEMORY, 8 * len(content))
        """Bytes that may still be taken."""

    def run(self) -> Any:
        """Returns what the pickle builds."""
        stream, push = io.BytesIO(self.content), self.stack.append
        for _ in range(_MOST_STEPS):
            code = stream.read(1)
            if code not in _TABLE:
                raise _Refused(_described(code)) if code else EOFError
            reader, cost, handler = _TABLE[code]
            argument = None if reader is None else reader(stream)
            self.left -= cost
            if self.left < 0:
                self.spend(0)
            if handler is None:
                push(argument)
            elif handler is _stop:
                (value,) = self.stack
                return value
            else:
                handler(self, argument)
        raise _Refused("more instructions than any data set has")

    def spend(self, size: int) -> None:
        """Counts bytes that are about to be taken."""
        self.left -= size
        if self.left < 0:
            raise _Refused("more memory than a file of its size needs")

    def pop_to_mark(self) -> list[Any]:
        """Takes what stands above the last mark, and the mark."""
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:
            start -= 1
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def put(self, index: Any) -> None:
        """Remembers the top of the stack."""
        self.memo[int(index)] = top = self.stack[-1]
        if isinstance(top, _Array):
            top.remembered.append(int(index))

    def get(self, index: Any) -> None:
        """Pushes what was remembered."""
        self.stack.append(self.memo[int(index)])

    def memoize(self, _: Any) -> None:
        """Remembers the top of the stack under the next number."""
        self.put(len(self.memo))

    def whole(self, number: int) -> None:
        """Pushes a whole number; longer ones than arrays hold could be made to collide in dicts."""
        if number.bit_length() > 64:
            raise _Refused("a number of more than 64 bits")
        self.stack.append(number)

    def name(self, words: str) -> None:
        """Pushes one of the known names; ``words`` are module and name."""
        module, _, name = words.partition(" ")
        if (module, name) not in _KNOWN:
            raise _Refused(short(f"{module}.{name}", quote=False))
        self.stack.append(_KNOWN[module, name])

    def stack_name(self, _: Any) -> None:
        """Pushes the name whose two words stand on the stack."""
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str) or " " in module:
            raise _Refused("a name that is no text")
        self.name(f"{module} {name}")

    def reduce(self, _: Any) -> None:
        """Does what a known name stands for."""
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Name) or called.make is None or not isinstance(arguments, tuple):
            raise _Refused("a call of what is no known name")
        self.spend(sum(_size_of(argument) for argument in arguments))
        self.stack.append(called.make(*arguments))

    def build(self, _: Any) -> None:
        """Fills the array or the type on top of the stack from its state."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Type) and isinstance(state, tuple):
            target.set_state(state)
        elif isinstance(target, _Array) and isinstance(state, tuple):
            shape, kind, is_fortran, content = state[-4:]
            self.spend(_size_of(content))
            array = _filled(content, kind, shape, "F" if is_fortran else "C")
            self.stack[-1] = array
            self.memo |= {index: array for index in target.remembered if self.memo[index] is target}
        elif not isinstance(target, OrderedDict):  # whose attributes are of no interest
            raise _Refused("a state for what has none")


_PUSHED = frozenset({
    "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
})  # fmt: skip
"""Instructions that push their argument."""


def _push(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, argument: machine.stack.append(make())


def _collected(make: Callable[[list[Any]], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, argument: machine.stack.append(make(machine.pop_to_mark()))


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def run(machine: _Machine, argument: Any) -> None:
        items = tuple(machine.stack[-count:])
        if len(items) < count or any(item is _MARK for item in items):
            raise IndexError
        machine.stack[-count:] = [items]

    return run


def _added(kind: type, several: bool) -> Callable[[_Machine, Any], None]:
    """Puts what stands on top of the stack into the container below it."""

    def run(machine: _Machine, argument: Any) -> None:
        count = 2 if issubclass(kind, dict) else 1
        items = machine.pop_to_mark() if several else [machine.stack.pop() for _ in range(count)][::-1]
        target = machine.stack[-1]
        if not isinstance(target, kind) or any(item is _MARK for item in items):
            raise TypeError
        if isinstance(target, dict):
            target.update(zip(items[::2], items[1::2], strict=True))
        elif isinstance(target, set):
            target.update(items)
        else:
            target.extend(items)

    return run


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _stop(machine: _Machine, argument: Any) -> None:
    """Ends the pickle; what is left on the stack is its value."""


_HANDLERS: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": lambda machine, argument: None,
    "FRAME": lambda machine, argument: None,
    "STOP": _stop,
    "MARK": _push(lambda: _MARK),
    "POP": lambda machine, argument: machine.stack.pop(),
    "POP_MARK": lambda machine, argument: machine.pop_to_mark(),
    "DUP": lambda machine, argument: machine.stack.append(machine.stack[-1]),
    "INT": _Machine.whole,
    "LONG": _Machine.whole,
    "LONG1": _Machine.whole,
    "LONG4": _Machine.whole,
    "NONE": _push(lambda: None),
    "NEWTRUE": _push(lambda: True),
    "NEWFALSE": _push(lambda: False),
    "EMPTY_LIST": _push(list),
    "EMPTY_TUPLE": _push(tuple),
    "EMPTY_DICT": _push(dict),
    "EMPTY_SET": _push(set),
    "LIST": _collected(list),
    "TUPLE": _collected(tuple),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "DICT": _collected(_pairs),
    "FROZENSET": _collected(frozenset),
    "APPEND": _added(list, several=False),
    "APPENDS": _added(list, several=True),
    "SETITEM": _added(dict, several=False),
    "SETITEMS": _added(dict, several=True),
    "ADDITEMS": _added(set, several=True),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}


def _text_of_python_2(stream: io.BytesIO) -> str:
    """Reads quoted text with escapes; Python 2 wrote bytes so, and latin1 keeps each byte."""
    return codecs.escape_decode(stream.readline().rstrip(b"\n")[1:-1])[0].decode("latin1")


def _described(code: bytes) -> str:
    names = [opcode.name for opcode in pickletools.opcodes if opcode.code == code.decode("latin1")]
    if not names:
        raise ValueError("no such instruction")
    return f"the instruction {names[0]}"


def _table() -> dict[bytes, tuple[Callable[[Any], Any] | None, int, Callable[[_Machine, Any], Any] | None]]:
    """Returns byte to: what reads the argument, bytes that it may take, and what it does; None: pushes the argument."""
    table = {}
    for opcode in pickletools.opcodes:
        if opcode.name in _HANDLERS or opcode.name in _PUSHED:
            reader = opcode.arg.reader if opcode.arg is not None else None
            reader = _text_of_python_2 if opcode.name == "STRING" else reader  # pickletools reads ASCII alone
            entry = (reader, _COST.get(opcode.name, 32), _HANDLERS.get(opcode.name))
            table[opcode.code.encode("latin1")] = entry
    return table


_TABLE = _table()


def _size_of(value: Any) -> int:
    """Returns about how many bytes a copy of a value takes, without what is inside containers inside it."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    return 100 * len(value) if isinstance(value, list | tuple | dict | set | frozenset) else 0


def _filled(content: Any, kind: Any, shape: Any, order: str) -> np.ndarray:
    """Returns the array of these bytes."""
    if not isinstance(kind, _Type) or not isinstance(shape, tuple):
        raise _Refused("an array without type or shape")
    raw = content.encode("latin1") if isinstance(content, str) else content
    sound = isinstance(raw, bytes | bytearray) and all(type(n) is int and 0 <= n <= _MOST_BYTES for n in shape)
    if not sound or len(shape) > 32 or math.prod(shape) * kind.dtype.itemsize != len(raw):
        raise _Refused("an array whose bytes do not fit its shape")
    return np.frombuffer(raw, kind.dtype).reshape(shape, order=order).copy()  # type: ignore[call-overload]


def _empty_array(kind: Any, *_: Any) -> _Array:
    if kind is not _ARRAY_CLASS:
        raise _Refused(f"an array of class {short(type(kind).__name__)}")
    return _Array()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    return _filled(content, kind, shape, "F" if order == "F" else "C")


def _scalar(kind: Any, content: Any) -> Any:
    return _filled(content, kind, (), "C")[()]


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused(f"a conversion by {short(encoding)}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Protocols 0 to 2 write the empty bytes as a call."""
    return b""


_KNOWN: dict[tuple[str, str], _Name] = {
    ("numpy", "ndarray"): _ARRAY_CLASS,
    ("numpy", "dtype"): _Name(_Type),
    ("_codecs", "encode"): _Name(_encoded),
    ("collections", "OrderedDict"): _Name(OrderedDict),
    **{
        (f"numpy.{core}.{module}", name): _Name(make)
        for core in ("core", "_core")
        for module, name, make in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    **{
        (module, name): _Name(make)
        for module in ("builtins", "__builtin__")
        for name, make in (("set", set), ("frozenset", frozenset), ("bytes", _no_bytes))
    },
}
"""Module and name to what is done in their place."""


def _check_depth(value: Any) -> None:
    """Raises if containers lie too deep, within themselves, or hold what is no value."""
    depths: dict[int, int] = {}
    waiting: list[tuple[Any, bool]] = [(value, False)]
    inside: set[int] = set()
    while waiting:
        item, is_done = waiting.pop()
        if isinstance(item, _Name | _Type | _Array | _Mark):
            raise _Refused("a type where a value should be" if item is not _MARK else "a mark where a value should be")
        if not isinstance(item, list | tuple | dict | set | frozenset):
            continue
        inner = [*item.keys(), *item.values()] if isinstance(item, dict) else list(item)
        key = id(item)
        if is_done:
            inside.discard(key)
            depths[key] = 1 + max((depths.get(id(one), 0) for one in inner), default=0)
            if depths[key] > _DEEPEST:
                raise _Refused("containers within containers without end")
        elif key in inside:
            raise _Refused("containers within containers without end")
        elif key not in depths:
            inside.add(key)
            waiting.append((item, True))
            waiting += [(one, False) for one in inner if not isinstance(one, str | int | float | np.ndarray)]
