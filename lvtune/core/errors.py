"""The errors that users can cause.

Each is a :class:`LvtuneError`. The subclasses let callers catch one kind: wrong usage, data, adapter files, the
network, training.
"""

from __future__ import annotations

from lvtune.core.text import printable

_LONGEST = 6000
"""Characters of a part of a message; a list of all options of a method has some thousand."""


class LvtuneError(Exception):
    """An error that the user can correct. Its message has three parts.

    Args:
        given: what the user gave.
        expected: what was expected, or what exists.
        fix: what to type or to do instead.
    """

    def __init__(self, given: str, expected: str, fix: str) -> None:
        # names and values in a message are often those of foreign files
        self.given, self.expected, self.fix = map(_safe, (given, expected, fix))
        super().__init__(f"{self.given}; expected {self.expected}; {self.fix}")


def _safe(part: str) -> str:
    """A part of a message without control characters, cut in its middle where it is very long."""
    text = printable(str(part[: 2 * _LONGEST] + part[-_LONGEST:] if len(part) > 3 * _LONGEST else part))
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} … {text[-half:]}"


class UsageError(LvtuneError):
    """An option, a name or an argument does not exist or does not fit."""


class DataError(LvtuneError):
    """Pictures, annotations or boxes are missing, broken, or not what the run needs."""


class AdapterFileError(LvtuneError):
    """An adapter file is missing, damaged, or made for another base."""


class NetworkError(LvtuneError):
    """The Hub or another server cannot be reached, refuses the request, or breaks it off."""


class TrainingError(LvtuneError):
    """Training cannot start or continue: no signal, a loss that is not a number, a checkpoint that does not fit."""
