"""The one error type that a user's mistake raises."""

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
