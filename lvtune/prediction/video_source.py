"""A video as a source of frames, decoded ahead by one thread."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lvtune.core.errors import UsageError
from lvtune.data.video_frames import ReadingNotes, VideoFrame, read_frames, video_info
from lvtune.data.video_range import FrameRange, frame_range
from lvtune.prediction.frames import Frame, Source
from lvtune.prediction.video_options import VideoOptions

_AHEAD = 2**24
"""Pixels that are decoded ahead, 50 MB."""


class VideoSource(Source):
    """The frames of one video, or of a part of it.

    Args:
        path: the file.
        options: which frames.
        max_pixels: frames with more pixels are refused.

    Raises:
        LvtuneError: no video, a damaged one; times that are none, or a range that holds nothing.
    """

    title = "frames"
    is_sequence = True

    def __init__(self, path: Path, options: VideoOptions, max_pixels: int) -> None:
        self.path, self.range = path, frame_range(options.start, options.stop, options.every)
        self.info = video_info(path)
        width, height = self.info.size
        if width * height > max_pixels:
            raise UsageError(f"{path}, a video of {width} x {height} pixels", f"at most {max_pixels} pixels",
                             "give a larger --max-pixels")  # fmt: skip
        length = self.info.seconds
        if length is not None and self.range.start >= length:
            given = f"frames of {path.name} from {self.range.start:g} s"
            raise UsageError(given, f"a time before its end, {length:.2f} s", "give an earlier --from")
        self.notes, self.input_files = [self.info.line()], [path]

    def count(self) -> int | None:
        """Returns the number of frames by what the file says of its length: an estimate."""
        length, known = self.info.seconds, self.info.frames
        if known is not None and self.range == FrameRange(every=self.range.every):
            return math.ceil(known / self.range.every)
        if length is None:
            return None
        end = length if self.range.stop is None else min(length, self.range.stop)
        return max(1, math.ceil(round((end - self.range.start) * self.info.rate, 3) / self.range.every))

    def frames(self, start: int = 0, wanted: Callable[[Path], bool] | None = None) -> Iterator[Frame]:
        """Decodes ahead, in order; damaged frames are left out, and a note says how many."""
        log = ReadingNotes()
        for index, frame in enumerate(
            _ahead(read_frames(self.path, self.range, log, skip=start), self._places()), start
        ):
            name = self.picture(frame.number)
            yield self._frame(index, frame, wanted is None or wanted(name))
        self.notes = [*self.notes, *(note for note in log.notes if note not in self.notes)]

    def picture(self, number: int) -> Path:
        """Returns the made-up name of a frame."""
        return Path(self.path.name) / f"{number:06d}"

    def identity(self) -> dict[str, Any]:
        """The file with its size and date, and the range."""
        about = self.path.stat()
        mark = f"{self.path.absolute()} {about.st_size} {about.st_mtime_ns}"
        return {"title": self.title, "video": mark, "range": [self.range.start, self.range.stop, self.range.every]}

    def _frame(self, index: int, frame: VideoFrame, is_wanted: bool) -> Frame:
        size = (frame.image.shape[1], frame.image.shape[0])
        return Frame(
            index, self.picture(frame.number), frame.image if is_wanted else None, frame.number, frame.time,
            file=str(self.path), known_size=size,
        )  # fmt: skip

    def _places(self) -> int:
        width, height = self.info.size
        return max(2, min(32, _AHEAD // (width * height)))


def one_video(paths: Sequence[Path]) -> Path:
    """Returns the video, where there is one.

    Raises:
        UsageError: several, or pictures beside it.
    """
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
        raise UsageError(f"{len(paths)} inputs with a video among them ({names})", "one video at a time",
                         f"call it for each: lvtune predict {paths[0]} --out DIR")  # fmt: skip
    return paths[0]


def _ahead(items: Iterator[VideoFrame], places: int) -> Iterator[VideoFrame]:
    """Yields the items, which a thread makes ahead; at most ``places`` wait."""
    waiting: queue.Queue[Any] = queue.Queue(places)
    stop, end = threading.Event(), object()

    def put(item: Any) -> bool:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(end)
        except BaseException as error:  # raised where the frames are used
            put(error)

    thread = threading.Thread(target=work, name="lvtune-video", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
