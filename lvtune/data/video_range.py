"""Which frames of a video are taken: a part of its time, and every n-th frame."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lvtune.core.errors import UsageError

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)s?", re.ASCII)


@dataclass(frozen=True)
class FrameRange:
    """Frames from ``start`` up to ``stop``, and of these every ``every``-th."""

    start: float = 0.0
    """Seconds from the first frame of the video."""
    stop: float | None = None
    """Seconds; the frame that is shown at this time is not taken. None: to the end."""
    every: int = 1
    """1: every frame; 5: the first, the sixth, the eleventh of the range."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UsageError(f"every {self.every}th frame", "a whole number of 1 or more", "give --every 5")
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise UsageError(
                f"frames from {self.start:g} s to {'the end' if self.stop is None else f'{self.stop:g} s'}",
                "a beginning of 0 or more, and an end after it", "give --from 0:10 --to 0:20",
            )  # fmt: skip

    def has_ended(self, time: float) -> bool:
        """Returns True if a frame at ``time`` (seconds) lies behind the range."""
        return self.stop is not None and time >= self.stop - _HALF_A_TICK

    def has_begun(self, time: float) -> bool:
        """Returns True if a frame at ``time`` (seconds) does not lie before the range."""
        return time >= self.start - _HALF_A_TICK


_HALF_A_TICK = 1e-6
"""Seconds: times of frames are fractions such as 33333/1000000, which a user rounds."""


def parse_time(text: str | float, option: str = "--from") -> float:
    """Returns seconds of a time: ``75``, ``1:15``, ``0:01:15.5``.

    Raises:
        UsageError: it is none.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    match = _CLOCK.fullmatch(str(text).strip())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    clock = match is not None and match[2] is not None
    if match is None or (clock and seconds >= 60) or (match[1] is not None and minutes >= 60):
        raise UsageError(f"time '{text}'", "seconds, minutes:seconds or hours:minutes:seconds", f"give {option} 1:15")
    return hours * 3600 + minutes * 60 + seconds


def frame_range(start: str | float | None = None, stop: str | float | None = None, every: int = 1) -> FrameRange:
    """Returns the range that a user's words mean; None: from the beginning, to the end.

    Raises:
        UsageError: no times, or a range that holds nothing.
    """
    first = 0.0 if start is None else parse_time(start, "--from")
    return FrameRange(first, None if stop is None else parse_time(stop, "--to"), every)
