"""Draws each picture with its poses, as they come, and writes it under its relative path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lvtune.core.files import write_atomically
from lvtune.prediction.hand_results import draw_all
from lvtune.prediction.pose import FramePoses
from lvtune.prediction.predict_options import DrawOptions


class Drawings:
    """A sink that writes one PNG for each picture with a pose.

    Args:
        folder: existing output folder.
        paths: picture to the path of its drawing, relative to the folder.
        how: what is drawn.
    """

    def __init__(self, folder: Path, paths: Mapping[Path, Path], how: DrawOptions) -> None:
        self._folder, self._paths, self._how = folder, paths, how

    def write(self, result: FramePoses) -> None:
        """Draws one picture."""
        pixels, picture = result.frame.pixels, result.frame.picture
        if len(result) and pixels is not None:
            path = self._paths.get(picture, Path(f"{picture.name}.png"))
            write_atomically(self._folder / path, png(draw_all(pixels, result, self._how, result.heatmaps)))

    def close(self, complete: bool) -> None:
        """Nothing is open."""


def png(image: np.ndarray) -> bytes:
    """Returns a picture (H, W, 3) RGB as the bytes of a PNG file."""
    import cv2

    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
