"""Colours on a terminal; none where the output is a file or a pipe, or where the user wants none."""

from __future__ import annotations

import os
from typing import TextIO

RED = "31"


def in_colour(text: str, code: str, stream: TextIO) -> str:
    """Returns ``text`` in a colour if ``stream`` is a terminal.

    The variable ``NO_COLOR`` (https://no-color.org) and a terminal of the kind ``dumb`` turn colours off.
    """
    is_off = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if is_off else f"\x1b[{code}m{text}\x1b[0m"
