"""What a visitor asks of a picture or a video, and limits that the page sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvtune.core.errors import UsageError

if TYPE_CHECKING:
    from lvtune.demo.shared_bases import SharedBase

WHOLE, POSE, BOXES = "whole", "pose", "boxes"
MEAN = "mean"
"""In place of a category: the mean of all sentences."""


@dataclass(frozen=True)
class Question:
    """How a picture or video is to be predicted."""

    find: str = WHOLE
    """``whole``: it shows one person or animal; ``pose``: the estimator looks for them; ``boxes``: by hand."""
    most: int = 1
    """With ``pose``: persons or animals that are looked for at most."""
    boxes: str = ""
    """With ``boxes``: as typed, see :func:`lvtune.demo.hand_boxes.parse_hand_boxes`."""
    category: str | None = None
    """Category whose sentence the adapter reads; None or ``mean``: the mean of its sentences."""
    every: int = 1
    """Of a video: every n-th frame is predicted."""


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask for, so that memory stays bounded and others need not wait long."""

    pixels: int = 50_000_000
    """Of a picture, or of a frame of a video."""
    megabytes: int = 100
    """Of an uploaded file."""
    seconds: float = 10.0
    """Of a video; what comes later is left out, and a note says so."""
    minutes: float = 30.0
    """For which uploads and results are kept."""


def category_for(shared: SharedBase, acting: str | None, wanted: str | None) -> str | None:
    """Returns the category to read under the adapter that acts; None where it reads none, or the mean of all.

    Raises:
        UsageError: the adapter has no such category.
    """
    known = shared.categories(acting)
    if not known or wanted in (None, "", MEAN):
        return None
    if wanted not in known:
        raise UsageError(f"category '{wanted}'", f"{MEAN}, or one of {', '.join(known)}", "choose one from the list")
    return wanted
