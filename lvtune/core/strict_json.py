"""Reads JSON of unknown origin: bounded in size, depth and number of values, and with one meaning only."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from lvtune.core.errors import AdapterFileError, LvtuneError, UsageError
from lvtune.core.text import printable, short

MAX_BYTES = 16 * 2**20
"""Bytes of one JSON text that are read; thousands of tensors and a long recipe take less than one million."""
MAX_VALUES = 1_000_000
MAX_DEPTH = 64
MAX_KEY = 1000
"""Characters of a name."""
_MAX_DIGITS = 40

AGAIN = "copy or download the file again"


def strict_json(
    text: str | bytes,
    what: str,
    *,
    error: type[LvtuneError] = AdapterFileError,
    fix: str = AGAIN,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """Parses JSON of bounded size and depth, in which every value is finite and every key stands once.

    Args:
        text: UTF-8.
        what: the name of the text in errors.
        error: class of the error.
        fix: what a user can do about a damaged text.
        max_bytes: longest text that is parsed.

    Raises:
        LvtuneError: not JSON, too long, too deep, too many values, a key given twice or longer than 1000 characters,
            a number that is not finite or has more than 40 digits, text with NUL or half of a surrogate pair.
    """
    if len(text) > max_bytes:
        raise error(f"{what} of {len(text):,} bytes", f"at most {max_bytes:,}", fix)
    marks = (",", "[", "{") if isinstance(text, str) else (b",", b"[", b"{")
    if sum(text.count(mark) for mark in marks) > MAX_VALUES:  # type: ignore[arg-type]
        raise error(f"{what} with more than a million values", f"at most {MAX_VALUES:,}", fix)
    try:
        value = json.loads(
            text, object_pairs_hook=_once, parse_constant=_constant, parse_int=_whole, parse_float=_real
        )  # fmt: skip
        fault = _fault(value)
    except _Refused as refused:
        fault = refused.args
    except (ValueError, RecursionError) as reason:  # UnicodeDecodeError is a ValueError
        raise error(f"{what} that is not JSON ({short(reason, quote=False)})", "a JSON object", fix) from None
    if fault is not None:
        given, expected = fault
        raise error(f"{what} {given}", expected, fix)
    return value


class _Refused(Exception):
    """Ends the parser: what was given, and what was expected."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _Refused(f"with the key {short(twice)} twice", "each key once")
    return result


def _constant(word: str) -> Any:
    raise _Refused(f"with {word}", "finite numbers")


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise _Refused(f"with a number of {len(digits)} digits", f"at most {_MAX_DIGITS}")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits) if len(digits) <= _MAX_DIGITS else float("inf")
    if value in (float("inf"), float("-inf")):
        raise _Refused(f"with the number {short(digits, quote=False)}", "finite numbers")
    return value


def read_json(path: Path, *, error: type[LvtuneError] = AdapterFileError, fix: str = AGAIN) -> Any:
    """Parses a JSON file as :func:`strict_json` does.

    Raises:
        LvtuneError: no regular file, a file that cannot be read, or what :func:`strict_json` refuses.
    """
    what = f"'{printable(str(path))}'"
    try:
        if not path.is_file():
            kind = "is not a regular file" if path.exists() else "does not exist"
            raise error(f"{what}, which {kind}", "a JSON file", "correct the path")
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as reason:
        raise error(f"{what} that cannot be read ({short(reason, quote=False)})", "a readable file", fix) from reason
    return strict_json(text, what, error=error, fix=fix)


def canonical_json(value: Any, what: str, *, indent: int | None = None) -> str:
    """Returns JSON with sorted keys: equal values give equal text.

    Raises:
        LvtuneError: the value holds something that JSON does not know, such as NaN.
    """
    separators = (",", ": ") if indent else (",", ":")
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False, indent=indent, separators=separators)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{what} that JSON cannot hold ({short(error, quote=False)})",
            "words, finite numbers, true, false, null, lists and dicts of these",
            "give null where a number is missing",
        ) from error


def _fault(value: Any) -> tuple[str, str] | None:
    """Returns what is wrong with a parsed value and what was expected; None where nothing is."""
    layer, depth = [value], 0
    while layer:
        if depth > MAX_DEPTH:
            return "nested without end", f"at most {MAX_DEPTH} levels"
        below: list[Any] = []
        for item in layer:
            if isinstance(item, str):
                fault = _fault_of_text(item)
                if fault is not None:
                    return fault
            elif isinstance(item, dict):
                longest = max(item, key=len, default="")
                if len(longest) > MAX_KEY:
                    return f"with a name of {len(longest):,} characters", f"at most {MAX_KEY}"
                below += item
                below += item.values()
            elif isinstance(item, list):
                below += item
        layer, depth = below, depth + 1
    return None


def _fault_of_text(text: str) -> tuple[str, str] | None:
    if "\0" in text:
        return f"with a NUL character in {short(text)}", "text"
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"with half of a surrogate pair in {short(text)}", "text that UTF-8 can hold"
    return None
