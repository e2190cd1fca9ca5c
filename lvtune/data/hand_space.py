"""What a user knows about the hands in pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lvtune.core.errors import UsageError


@dataclass(frozen=True)
class HandSpace:
    """Side and size of the hands in pictures, and the camera.

    Raises:
        LvtuneError: a focal length without a size, from which no distance follows.
    """

    side: Literal["left", "right"] = "right"
    """Side of the hands in the pictures. Left hands are mirrored for the network, and the result is mirrored back."""
    bone: float | None = field(default=None, metadata={"above": 0})
    """Length in mm of the middle finger's first bone. None: coordinates are in lengths of this bone."""
    focal: float | None = field(default=None, metadata={"above": 0})
    """Focal length of the camera in pixels; its axis is the middle of the picture. With `bone`, coordinates are
    relative to the camera. None: relative to the root of the hand."""

    def __post_init__(self) -> None:
        if self.focal is not None and self.bone is None:
            raise UsageError(
                f"a focal length of {self.focal:g} pixels without the size of the hand",
                "the length of the middle finger's first bone in mm, from which the distance follows",
                "give --bone too",
            )  # fmt: skip
