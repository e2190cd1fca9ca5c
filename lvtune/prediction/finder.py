"""A finder says where the persons or animals of a frame are; the pose estimator looks there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.data.crop import PADDING

if TYPE_CHECKING:
    from lvtune.prediction.frames import Frame
    from lvtune.prediction.pose import Pose


@dataclass(frozen=True)
class Found:
    """The boxes of one frame."""

    boxes: np.ndarray
    """(M, 4) x, y, width, height in pixels of the frame; M may be 0."""
    scores: np.ndarray
    """(M,) of the detector; 1 without one."""
    padding: float = PADDING
    """Margin around a box, as in training; 1 for a whole picture: nothing lies around it."""
    labels: tuple[str, ...] = ()
    """(M,) the detector's class of each box; empty where nobody says."""
    poses: tuple[Pose, ...] | None = None
    """(M,) where the finder has predicted them already."""
    marks: dict[str, Any] = field(default_factory=dict)
    """What was seen in the frame beside the boxes, in JSON types."""

    @staticmethod
    def nothing() -> Found:
        """No box."""
        return Found(np.zeros((0, 4)), np.zeros(0), poses=())


Look = Callable[["Sequence[Frame]", Sequence[Found]], "list[list[Pose]]"]
"""Predicts the poses of each frame in its boxes, under the adapter that is active."""


@dataclass
class Finder(ABC):
    """Finds boxes. Derive from it, give :meth:`find`, and name it in ``finder_choice.py``."""

    name: str = field(default="finder", kw_only=True)
    at_once: int | None = field(default=None, kw_only=True)
    """Most frames that :meth:`find` takes at a time; None: as many as the estimator."""
    notes: list[str] = field(default_factory=list, kw_only=True)
    """What was decided and left out, for the user; may grow while it works."""

    @abstractmethod
    def find(self, frames: Sequence[Frame], look: Look) -> list[Found]:
        """Returns the boxes of each of some frames that follow each other.

        Args:
            frames: all with pixels.
            look: returns the poses of each frame in boxes that the finder tries out.
        """

    def wants(self, picture: Path) -> bool:
        """Returns False for a picture in which nothing will be found, so that it need not be read."""
        return True

    def observe(self, frame: Frame, poses: Sequence[Pose]) -> None:  # noqa: B027
        """Is told the poses of each frame, in order, before :meth:`find` is asked for the frames behind it.

        What a finder remembers of earlier frames must follow from these calls alone. When a run is resumed, the frames
        that are done come again, without pixels.
        """

    def final_notes(self) -> list[str]:
        """Returns what the user must know at the end, beside ``notes``."""
        return []

    def image_ids(self) -> Mapping[Path, int]:
        """Returns the image ids of pictures that a file gives."""
        return {}

    def identity(self) -> dict[str, Any]:
        """Returns what the boxes depend on, in JSON types; a run is resumed only with an equal finder."""
        return {"name": self.name}


def whole_of(frame: Frame) -> Found:
    """Returns the whole frame as one box."""
    assert frame.size is not None
    return Found(np.array([[0.0, 0.0, *frame.size]]), np.ones(1), padding=1.0)
