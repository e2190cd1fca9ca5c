"""The options that choose among the boxes of a file; light, so that the command line's help needs no libraries."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE, ALL_CLASSES = "whole", "all"
BOX_THRESHOLD = 0.3
"""Score of a detector below which a box is left out."""


@dataclass(frozen=True)
class BoxChoice:
    """Which boxes of a file are used."""

    threshold: float = BOX_THRESHOLD
    """Boxes of a lower detector score are left out; a box without a score is kept."""
    box_class: str | None = None
    """Class kept, by name or COCO id; ``all``; None: persons for a skeleton of people, else all."""
    box_format: str = "auto"
    """``xywh``, ``xyxy``, or ``auto``: decided by which reading stays inside the pictures."""
