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
    """Which hands the pictures show; left ones are mirrored for the network, and back."""
    bone: float | None = field(default=None, metadata={"above": 0})
    """Length in mm of the middle finger's first bone; None: joints are told in its lengths."""
    focal: float | None = field(default=None, metadata={"above": 0})
    """Focal length of the camera in pixels, its axis in the middle of the picture; with `bone`, joints are told from
    the camera; None: from the root of the hand."""

    def __post_init__(self) -> None:
        if self.focal is not None and self.bone is None:
            raise UsageError(
                f"a focal length of {self.focal:g} pixels without the size of the hand",
                "the length of the middle finger's first bone in mm, from which the distance follows",
                "give --bone too",
            )  # fmt: skip
