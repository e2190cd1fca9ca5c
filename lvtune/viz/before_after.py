"""One picture of what an adapter does, for its model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lvtune.core.files import write_atomically
from lvtune.viz.overlay import contact_sheet

FILE = "before-after.jpg"
"""What the picture is called beside an adapter."""
ROWS = 3
_QUALITY = 85


def write_before_after(pictures: Sequence[tuple[str, np.ndarray, np.ndarray]], folder: Path | str) -> Path | None:
    """Writes a JPEG of the first pairs, the base alone left and with the adapter right; None without pictures.

    Args:
        pictures: (caption, RGB uint8 before, RGB uint8 after), skeletons drawn.
        folder: where ``before-after.jpg`` is put.

    Raises:
        LvtuneError: the place cannot be written.
    """
    import cv2

    if not pictures:
        return None
    # spread over the list, which goes from those that changed most to those that changed least
    chosen = np.linspace(0, len(pictures) - 1, min(ROWS, len(pictures))).round().astype(int)
    shown = [pictures[i] for i in dict.fromkeys(chosen.tolist())]
    words = [[f"{caption}: base alone", f"{caption}: with the adapter"] for caption, _, _ in shown]
    sheet = contact_sheet([[before, after] for _, before, after in shown], words)
    data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return write_atomically(Path(folder) / FILE, data.tobytes())
