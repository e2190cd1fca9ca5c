"""A small machine that runs the instructions of pickles which build containers, numbers and text.

Each step and each byte is counted, so that a small file can neither run for hours nor fill the memory.
Source of the instructions: https://github.com/python/cpython, Lib/pickletools.py.
"""

from __future__ import annotations

import codecs
import io
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from lvtune.core.strict_json import short
from lvtune.data.pickle_values import KNOWN, KnownName, NumberType, Refused, UnfilledArray, filled_array, size_of

_MOST_STEPS = 50_000_000
_LEAST_MEMORY = 64 * 2**20
_COST = {"EMPTY_LIST": 64, "LIST": 64, "EMPTY_DICT": 72, "DICT": 200, "EMPTY_SET": 224, "FROZENSET": 224, "REDUCE": 200}
"""Bytes that an instruction takes at most, as far as it is more than those of most."""


class Mark:
    """Stands on the stack where an instruction will begin to collect."""


MARK = Mark()


class Machine:
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
                raise Refused(_described(code)) if code else EOFError
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
        raise Refused("more instructions than any data set has")

    def spend(self, size: int) -> None:
        """Counts bytes that are about to be taken."""
        self.left -= size
        if self.left < 0:
            raise Refused("more memory than a file of its size needs")

    def pop_to_mark(self) -> list[Any]:
        """Takes what stands above the last mark, and the mark."""
        start = len(self.stack) - 1
        while self.stack[start] is not MARK:
            start -= 1
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def put(self, index: Any) -> None:
        """Remembers the top of the stack."""
        self.memo[int(index)] = top = self.stack[-1]
        if isinstance(top, UnfilledArray):
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
            raise Refused("a number of more than 64 bits")
        self.stack.append(number)

    def name(self, words: str) -> None:
        """Pushes one of the known names; ``words`` are module and name."""
        module, _, name = words.partition(" ")
        if (module, name) not in KNOWN:
            raise Refused(short(f"{module}.{name}", quote=False))
        self.stack.append(KNOWN[module, name])

    def stack_name(self, _: Any) -> None:
        """Pushes the name whose two words stand on the stack."""
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str) or " " in module:
            raise Refused("a name that is no text")
        self.name(f"{module} {name}")

    def reduce(self, _: Any) -> None:
        """Does what a known name stands for."""
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, KnownName) or called.make is None or not isinstance(arguments, tuple):
            raise Refused("a call of what is no known name")
        self.spend(sum(size_of(argument) for argument in arguments))
        self.stack.append(called.make(*arguments))

    def build(self, _: Any) -> None:
        """Fills the array or the type on top of the stack from its state."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, NumberType) and isinstance(state, tuple):
            target.set_state(state)
        elif isinstance(target, UnfilledArray) and isinstance(state, tuple):
            shape, kind, is_fortran, content = state[-4:]
            self.spend(size_of(content))
            array = filled_array(content, kind, shape, "F" if is_fortran else "C")
            self.stack[-1] = array
            self.memo |= {index: array for index in target.remembered if self.memo[index] is target}
        elif not isinstance(target, OrderedDict):  # whose attributes are of no interest
            raise Refused("a state for what has none")


_PUSHED = frozenset({
    "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
})  # fmt: skip
"""Instructions that push their argument."""


def _push(make: Callable[[], Any]) -> Callable[[Machine, Any], None]:
    return lambda machine, argument: machine.stack.append(make())


def _collected(make: Callable[[list[Any]], Any]) -> Callable[[Machine, Any], None]:
    return lambda machine, argument: machine.stack.append(make(machine.pop_to_mark()))


def _tuple_of(count: int) -> Callable[[Machine, Any], None]:
    def run(machine: Machine, argument: Any) -> None:
        items = tuple(machine.stack[-count:])
        if len(items) < count or any(item is MARK for item in items):
            raise IndexError
        machine.stack[-count:] = [items]

    return run


def _added(kind: type, several: bool) -> Callable[[Machine, Any], None]:
    """Puts what stands on top of the stack into the container below it."""

    def run(machine: Machine, argument: Any) -> None:
        count = 2 if issubclass(kind, dict) else 1
        items = machine.pop_to_mark() if several else [machine.stack.pop() for _ in range(count)][::-1]
        target = machine.stack[-1]
        if not isinstance(target, kind) or any(item is MARK for item in items):
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


def _stop(machine: Machine, argument: Any) -> None:
    """Ends the pickle; what is left on the stack is its value."""


_HANDLERS: dict[str, Callable[[Machine, Any], Any]] = {
    "PROTO": lambda machine, argument: None,
    "FRAME": lambda machine, argument: None,
    "STOP": _stop,
    "MARK": _push(lambda: MARK),
    "POP": lambda machine, argument: machine.stack.pop(),
    "POP_MARK": lambda machine, argument: machine.pop_to_mark(),
    "DUP": lambda machine, argument: machine.stack.append(machine.stack[-1]),
    "INT": Machine.whole,
    "LONG": Machine.whole,
    "LONG1": Machine.whole,
    "LONG4": Machine.whole,
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
    "PUT": Machine.put,
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "MEMOIZE": Machine.memoize,
    "GET": Machine.get,
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
    "GLOBAL": Machine.name,
    "STACK_GLOBAL": Machine.stack_name,
    "REDUCE": Machine.reduce,
    "BUILD": Machine.build,
}


def _text_of_python_2(stream: io.BytesIO) -> str:
    """Reads quoted text with escapes; Python 2 wrote bytes so, and latin1 keeps each byte."""
    return codecs.escape_decode(stream.readline().rstrip(b"\n")[1:-1])[0].decode("latin1")


def _described(code: bytes) -> str:
    names = [opcode.name for opcode in pickletools.opcodes if opcode.code == code.decode("latin1")]
    if not names:
        raise ValueError("no such instruction")
    return f"the instruction {names[0]}"


def _table() -> dict[bytes, tuple[Callable[[Any], Any] | None, int, Callable[[Machine, Any], Any] | None]]:
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
