"""Writes the picture on a model card: what an adapter changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lvtune.core.files import write_atomically
from lvtune.viz.overlay import contact_sheet

FILE = "before-after.jpg"
"""Name of the picture in an adapter's folder."""
ROWS = 3
_QUALITY = 85


def write_before_after(pictures: Sequence[tuple[str, np.ndarray, np.ndarray]], folder: Path | str) -> Path | None:
    """Writes a JPEG of some pairs: the base alone on the left, with the adapter on the right.

    Args:
        pictures: (caption, RGB uint8 before, RGB uint8 after), skeletons drawn. At most ``ROWS`` are shown, evenly
            spread over the list.
        folder: folder of ``before-after.jpg``.

    Returns:
        The file; None, and no file, without pictures.

    Raises:
        LvtuneError: the file cannot be written.
    """
    import cv2

    if not pictures:
        return None
    rows = np.linspace(0, len(pictures) - 1, min(ROWS, len(pictures))).round().astype(int)
    shown = [pictures[i] for i in dict.fromkeys(rows.tolist())]
    captions = [[f"{caption}: base alone", f"{caption}: with the adapter"] for caption, _, _ in shown]
    sheet = contact_sheet([[before, after] for _, before, after in shown], captions)
    data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return write_atomically(Path(folder) / FILE, data.tobytes())
