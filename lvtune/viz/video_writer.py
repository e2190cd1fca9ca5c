"""Writes pictures as a video that any player shows, each at its own time."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvtune.core.errors import UsageError
from lvtune.core.files import user_errors
from lvtune.data.video_frames import load_av

TICK = Fraction(1, 90_000)
"""Seconds; times are rounded to it."""
_CODECS = (("libx264", {"crf": "23", "preset": "veryfast"}), ("mpeg4", {"qscale": "4"}))
_THREADS = 2  # always as many: the bytes depend on it


class VideoWriter:
    """Writes one MP4 file; it is put in place when it is complete.

    Args:
        path: ends in ``.mp4``.
        rate: frames a second on average, for the encoder.
        pixel_aspect: width of a pixel over its height.

    Raises:
        UsageError: the file cannot be written; FFmpeg has no encoder for it.
    """

    def __init__(self, path: Path, rate: float, pixel_aspect: Fraction = Fraction(1)) -> None:
        self._av, self._path = load_av(), path
        self._draft = path.with_name(f".{path.stem}-{os.getpid()}.part.mp4")
        self._rate, self._aspect = Fraction(rate).limit_denominator(1001), pixel_aspect
        self._container: Any = None
        self._stream: Any = None
        self._start: float | None = None
        self._last = -1
        self.resized = 0
        """Pictures of another size than the first, which were fitted to it."""

    def write(self, image: np.ndarray, time: float) -> None:
        """Adds a picture (H, W, 3) RGB uint8 that is shown from ``time``, in seconds; the first is shown at 0."""
        with user_errors(self._path):
            if self._start is None:
                self._open(image.shape[1], image.shape[0])
            self._start = time if self._start is None else self._start
            self._last = max(self._last + 1, round((time - self._start) / TICK))
            frame = self._av.VideoFrame.from_ndarray(self._fitted(image), format="rgb24")
            frame.pts, frame.time_base = self._last, TICK
            container, stream = self._container, self._stream
            container.mux(stream.encode(frame))

    def close(self) -> bool:
        """Puts the file in place; returns False where no picture was written."""
        if self._stream is None:
            return False
        assert self._container is not None
        with user_errors(self._path):
            self._container.mux(self._stream.encode())
            self._container.close()
            os.replace(self._draft, self._path)
        return True

    def discard(self) -> None:
        """Drops what was written."""
        if self._container is not None:
            with contextlib.suppress(Exception):
                self._container.close()
            self._draft.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        known = self._av.codecs_available
        name, options = next((one for one in _CODECS if one[0] in known), ("", {}))
        if not name:
            raise UsageError("an overlay video without an encoder", "FFmpeg with libx264 or mpeg4",
                             "give --no-overlay, or install the wheel of av")  # fmt: skip
        self._container = self._av.open(str(self._draft), "w")
        stream = self._container.add_stream(name, rate=self._rate or 25, options=options)
        # players want even sides and colour at half the resolution
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.time_base = stream.codec_context.time_base = TICK
        stream.codec_context.thread_count = _THREADS
        stream.codec_context.sample_aspect_ratio = self._aspect
        self._stream = stream

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        width, height = self._stream.width, self._stream.height
        missing = (height - image.shape[0], width - image.shape[1])
        if missing == (0, 0):
            return np.ascontiguousarray(image)
        if all(part in (0, 1) for part in missing):
            return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        self.resized += 1
        return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_AREA)
