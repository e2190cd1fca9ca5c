"""How the frames of a video are turned to stand upright, as their display matrix says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Turn:
    """How a frame is turned to stand upright: transposed first, then mirrored."""

    transposes: bool = False
    left_right: bool = False
    top_bottom: bool = False

    @property
    def words(self) -> str:
        """What is done, for the terminal; empty for nothing."""
        return _TURNS[self.transposes, self.left_right, self.top_bottom]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Returns an image (H, W, 3) upright."""
        image = image.swapaxes(0, 1) if self.transposes else image
        return np.ascontiguousarray(image[:: -1 if self.top_bottom else 1, :: -1 if self.left_right else 1])


_TURNS = {
    (False, False, False): "", (False, True, True): "turned by 180 degrees",
    (True, True, False): "turned by 90 degrees to the right", (True, False, True): "turned by 90 degrees to the left",
    (False, True, False): "mirrored left to right", (False, False, True): "mirrored top to bottom",
    (True, False, False): "mirrored along the diagonal", (True, True, True): "mirrored along the other diagonal",
}  # fmt: skip


def turn_of(frame: Any) -> Turn:
    """Reads a frame's display matrix: FFmpeg's nine numbers a b u c d v x y w, with x' = a x + c y, y' = b x + d y."""
    found = [bytes(one) for one in frame.side_data if getattr(one.type, "name", "") == "DISPLAYMATRIX"]
    if not found:
        return Turn()
    a, b, _, c, d = np.frombuffer(found[0], np.int32, 5)
    if abs(int(b)) > abs(int(a)):
        return Turn(True, bool(c < 0), bool(b < 0))
    return Turn(False, bool(a < 0), bool(d < 0))
