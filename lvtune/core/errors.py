"""The errors that a user's mistake raises.

Every one is a :class:`LvtuneError`. Its subclasses are for callers who want to catch one kind apart: wrong usage,
data, an adapter's file, the network, the tuning itself.
"""

from __future__ import annotations


class LvtuneError(Exception):
    """A mistake that the user can mend, told in three parts.

    Args:
        given: what the user gave.
        expected: what was expected, or what exists.
        fix: what to type or do instead.
    """

    def __init__(self, given: str, expected: str, fix: str) -> None:
        self.given, self.expected, self.fix = given, expected, fix
        super().__init__(f"{given}; expected {expected}; {fix}")


class UsageError(LvtuneError):
    """An option, a name or an argument that does not exist or does not fit."""


class DataError(LvtuneError):
    """Pictures, annotations or boxes that are missing, broken, or not what the run needs."""


class AdapterFileError(LvtuneError):
    """An adapter's file that is missing, damaged, or made for another base."""


class NetworkError(LvtuneError):
    """The Hub or another server cannot be reached, refuses, or breaks off."""


class TrainingError(LvtuneError):
    """A tuning that cannot start or go on: no signal, a loss that is not a number, a checkpoint that does not fit."""
