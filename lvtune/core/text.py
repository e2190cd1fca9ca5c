"""Text to show: numbers with their nouns, values cut to a readable length, control characters escaped, shell words."""

from __future__ import annotations

import re
import reprlib
import shlex
from collections.abc import Mapping

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they change the direction of text
    "\u2028\u2029\ud800-\udfff]"  # separators of lines and paragraphs, halves of characters
)


def printable(text: str) -> str:
    r"""Returns ``text`` with control characters escaped, such as ``\x1b``; tabs and newlines stay.

    Names in annotation files, adapter files and recipes are written by others. On a terminal an escape sequence in
    one could hide text or change it, and a character for right-to-left text could make it read differently.
    """
    return _CONTROL.sub(lambda found: _escaped(found.group()), text)


def one_line(text: str) -> str:
    """Returns ``text`` as one line: control characters escaped, each run of white space a single space."""
    return " ".join(printable(text).split())


def escape_json(text: str) -> str:
    """Returns the JSON ``text`` with control characters as JSON writes them, with four digits."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class _Brief(reprlib.Repr):
    """Representations of at most a few hundred characters, however large the value is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 3, 4, 6, 6
        self.maxstring = self.maxother = 80

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write integers of more than 4,300 digits."""
        bits = x.bit_length()
        return repr(x) if bits <= 64 else f"a whole number of about {int(bits * 0.30103) + 1} digits"


def brief(value: object) -> str:
    """Returns ``repr(value)``, cut in the middle where it is long; for messages."""
    return _Brief().repr(value)


def short(text: object, *, quote: bool = True) -> str:
    """Returns text of unknown origin for an error: quoted, control characters escaped, cut after 80 characters.

    Args:
        text: for example a name in a file.
        quote: False leaves the quotation marks out.
    """
    plain = str(text)
    shown = repr(plain[:200])
    shown = shown if quote else shown[1:-1]
    return shown if len(shown) <= 80 and len(plain) <= 200 else shown[:77] + "..."


def cut(text: object, limit: int = 60) -> str:
    """Returns ``text`` with at most ``limit`` characters, cut at the end."""
    text = str(text) if not isinstance(text, int) else brief(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def plural(count: float, one: str, many: str | None = None) -> str:
    """Returns ``one`` if ``count`` is 1, else ``many``.

    Args:
        count: number that the words depend on.
        one: words for one thing, such as ``picture`` or ``picture has``.
        many: words for any other number; None: ``one`` with an ``s`` at its end.
    """
    return one if count == 1 else f"{one}s" if many is None else many


def counted(count: float, one: str, many: str | None = None, *, spec: str = "") -> str:
    """Returns a number and its words: ``1 picture has``, ``3 pictures have``.

    Args:
        count: the number.
        one: see :func:`plural`.
        many: see :func:`plural`.
        spec: format of the number, such as ``,`` or ``g``.
    """
    return f"{count:{spec}} {plural(count, one, many)}"


def counted_kinds(counts: Mapping[tuple[str, str], int]) -> list[str]:
    """Returns a sentence for each kind of thing that was found, such as ``2 points without a name: left out``.

    Args:
        counts: name of one thing, and the words that follow it, to how many were found; kinds with 0 are left out.
    """
    return [f"{counted(count, one)} {rest}" for (one, rest), count in counts.items() if count]


def shell_word(value: object) -> str:
    """Returns ``value`` quoted so that it can be pasted into a shell as one word that is no option."""
    text = str(value)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)
