"""What `predict` may be told about videos; light, so that the command line's help needs no libraries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class VideoOptions:
    """Videos: which frames, who is who, and what is written."""

    start: str | None = None
    """Time of the first frame: seconds, 1:15 or 0:01:15.5; the same as --from. None: the beginning."""
    stop: str | None = None
    """Time of the first frame that is not taken; the same as --to. None: the end."""
    every: int = field(default=1, metadata={"at_least": 1})
    """Take every n-th frame."""
    track: bool = True
    """Number the animals or persons, so that each keeps its number from frame to frame."""
    individuals: int | None = field(default=None, metadata={"at_least": 1})
    """Number of animals or persons, if you know it. There are then never more track numbers, and an animal that was
    lost gets its number back after any time. None: as many as are seen."""
    max_gap: float = field(default=1.0, metadata={"at_least": 0})
    """Seconds for which an animal that is not seen keeps its number, if `individuals` is not given."""
    smooth: Literal["none", "one-euro", "savgol"] = "none"
    """Smooth each key point in time in the files that are written. Gaps stay gaps. one-euro: for any frame rate.
    savgol: Savitzky-Golay over seven frames, for even times."""
    overlay: bool = True
    """Write overlay.mp4, the video with the poses drawn in, with the times of its frames."""
