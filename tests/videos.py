"""Small videos, written by PyAV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

MILLISECOND = Fraction(1, 1000)


def plain_frame(number: int, size: tuple[int, int]) -> np.ndarray:
    """Grey that grows with the number, and a red corner at the top left."""
    image = np.full((size[1], size[0], 3), 40 + 3 * number % 200, np.uint8)
    image[:16, :16] = (255, 0, 0)
    return image


def write_video(
    path: Path,
    count: int = 20,
    *,
    size: tuple[int, int] = (64, 48),
    times: Sequence[int] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
    codec: str = "libx264",
    draw: Callable[[int, tuple[int, int]], np.ndarray] = plain_frame,
) -> Path:
    """Writes ``count`` frames; ``times`` in milliseconds, 40 apart by default; ``rotation`` is to the left."""
    import av

    times = [40 * i for i in range(count)] if times is None else times
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "8"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = stream.codec_context.time_base = MILLISECOND
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(draw(i, size), format="rgb24")
            frame.pts, frame.time_base = times[i], MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
