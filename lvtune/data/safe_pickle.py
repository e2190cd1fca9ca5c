"""Reads pickles of numbers without running any code that they name.

A pickle is a program for a small machine with a stack. Python's own machine calls whatever the program names, and
allocates whatever it says. Ours (:mod:`lvtune.data.pickle_machine`) knows the instructions that build containers,
numbers and text, and the few names that pickles of numpy arrays need, which it does itself. Everything else is an
error.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import printable, short
from lvtune.data.pickle_machine import MARK, Machine, Mark
from lvtune.data.pickle_values import KnownName, NumberType, Refused, UnfilledArray

_DEEPEST = 50
_MOST = 20_000_000  # values in all, one that is shared counted wherever it is; a list of shared lists has no end
_MOST_BYTES = 2**31


def load_numbers(path: str | Path) -> Any:
    """Reads a pickle of dicts, lists, tuples, sets, text, numbers and numpy arrays of numbers.

    Args:
        path: of a file that Python 2 or 3 wrote, in any protocol.

    Raises:
        DataError: no such file, not a pickle, broken, too large, or a pickle that asks for anything else; none of its
            code has run.
    """
    file = Path(path)
    shown = printable(str(file))
    try:
        if file.exists() and not file.is_file():
            raise DataError(f"{shown}: not a regular file", "a file that can be read", "check the path")
        with file.open("rb") as opened:
            # not the limit itself, which read() would take memory for
            content = opened.read(min(_MOST_BYTES, os.fstat(opened.fileno()).st_size) + 1)
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
        value = Machine(content).run()
        _check_depth(value)
        return value
    except Refused as refused:
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


def _check_depth(value: Any) -> None:
    """Raises if containers lie too deep, within themselves, are shared without end, or hold what is no value."""
    depths: dict[int, int] = {}
    sizes: dict[int, int] = {}
    waiting: list[tuple[Any, bool]] = [(value, False)]
    inside: set[int] = set()
    while waiting:
        item, is_done = waiting.pop()
        if isinstance(item, KnownName | NumberType | UnfilledArray | Mark):
            raise Refused("a type where a value should be" if item is not MARK else "a mark where a value should be")
        if not isinstance(item, list | tuple | dict | set | frozenset):
            continue
        inner = [*item.keys(), *item.values()] if isinstance(item, dict) else list(item)
        key = id(item)
        if is_done:
            inside.discard(key)
            depths[key] = 1 + max((depths.get(id(one), 0) for one in inner), default=0)
            sizes[key] = 1 + sum(sizes.get(id(one), 1) for one in inner)
            if depths[key] > _DEEPEST or sizes[key] > _MOST:
                raise Refused("containers within containers without end")
        elif key in inside:
            raise Refused("containers within containers without end")
        elif key not in depths:
            inside.add(key)
            waiting.append((item, True))
            waiting += [(one, False) for one in inner if not isinstance(one, str | int | float | np.ndarray)]
