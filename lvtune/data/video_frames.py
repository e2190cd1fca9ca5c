"""Reads videos frame by frame with PyAV: RGB, upright, each with its number and its own time.

Times are those of the file, also where the frame rate varies. One frame is held at a time.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.video_range import FrameRange
from lvtune.data.video_turn import turn_of

VIDEO_SUFFIXES = (
    ".mp4", ".avi", ".mov", ".mkv", ".mpg", ".mpeg", ".m4v", ".webm", ".wmv", ".flv", ".ts", ".mts", ".3gp", ".ogv",
    ".h264", ".mjpeg",
)  # fmt: skip
"""Names of videos end so; which codecs are read is FFmpeg's matter."""
_FALLBACK_RATE = 25  # frames a second of a stream that says nothing, as FFmpeg assumes
_MOST_BROKEN_IN_A_ROW = 1000


@dataclass(frozen=True)
class VideoFrame:
    """One frame."""

    number: int
    """Place in the video, from 0, whatever range is read."""
    time: float
    """Seconds from the first frame of the video."""
    image: np.ndarray
    """(H, W, 3) RGB uint8, upright."""


@dataclass(frozen=True)
class VideoInfo:
    """What a file says of its pictures."""

    path: Path
    size: tuple[int, int]
    """Width and height in pixels, as the video is shown."""
    rate: float
    """Frames a second on average."""
    frames: int | None
    """Number of frames, as the file says; None: it does not say."""
    seconds: float | None
    turned: str
    """How the frames are turned to stand upright, in words; empty: they are not."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel over its height."""

    def line(self) -> str:
        """Returns one line for the terminal."""
        parts = [f"{self.size[0]} x {self.size[1]} pixels", f"{self.rate:.4g} frames a second on average"]
        parts += [counted(self.frames, "frame")] if self.frames else []
        parts += [self.turned] if self.turned else []
        return f"{self.path.name}: {', '.join(parts)}"


@dataclass
class ReadingNotes:
    """What happened while frames were read; complete when the last frame has come."""

    read: int = 0
    """Frames decoded in the range."""
    broken: int = 0
    """Packets that could not be decoded."""
    repaired: int = 0
    """Frames that the decoder says it had to repair; they are used."""
    notes: list[str] = field(default_factory=list)


def is_video(path: Path) -> bool:
    """Returns True if a file's name is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def load_av() -> Any:
    """Imports PyAV.

    Raises:
        DataError: it is not installed; says what to type.
    """
    try:
        return importlib.import_module("av")
    except ImportError:
        raise DataError(
            "a video without the library PyAV", "the extra `video`", 'type pip install "lvtune[video]"'
        ) from (None)


def video_info(path: str | Path) -> VideoInfo:
    """Returns what a video says of itself; the first frame is decoded, since only frames say how they are turned.

    Raises:
        DataError: PyAV is missing; no video, an empty or a damaged one.
    """
    path = Path(path)
    with _opened(path) as (container, stream):
        first = next(_decoded(container, stream, ReadingNotes()), None)
        if first is None:
            raise _without_frames(path)
        turn = turn_of(first)
        size = (first.height, first.width) if turn.transposes else (first.width, first.height)
        length = stream.duration * stream.time_base if stream.duration else None
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        return VideoInfo(
            path, size, float(_rate(stream)), stream.frames or None, None if length is None else float(length),
            turn.words, 1 / aspect if turn.transposes else aspect,
        )  # fmt: skip


def read_frames(
    path: str | Path, frames: FrameRange | None = None, log: ReadingNotes | None = None, *, skip: int = 0
) -> Iterator[VideoFrame]:
    """Yields the frames of a video in the order in which they are shown; damaged ones are left out and counted.

    Args:
        path: the file.
        frames: which frames; None: all. What lies before the range is decoded and not given: after a jump into the
            middle of a file, decoders show damaged pictures in some videos. Frame numbers count from the beginning.
        log: told what was left out.
        skip: frames of the range that are decoded, since others need them, and not given.

    Raises:
        DataError: PyAV is missing; no video, one without a frame that can be read.
    """
    path, frames, log = Path(path), frames or FrameRange(), log if log is not None else ReadingNotes()
    seen, time = 0, 0.0
    with _opened(path) as (container, stream):
        clock, to_rgb = _Clock(stream), _to_rgb()
        number = -1
        for frame in _decoded(container, stream, log):
            number, seen = number + 1, seen + 1
            time = clock.time_of(frame, number)
            if frames.has_ended(time):
                break
            if not frames.has_begun(time):
                continue
            log.read, log.repaired = log.read + 1, log.repaired + bool(frame.is_corrupt)
            place, rest = divmod(log.read - 1, frames.every)
            if not rest and place >= skip:
                yield VideoFrame(number, time, turn_of(frame)(to_rgb(frame)))
        else:
            log.notes += _shortage(container, stream, number + 1, time, log.broken)
        log.notes += [*clock.notes, *_damage(log)]
    if not seen:
        raise _without_frames(path)


class _Clock:
    """Times of frames, in seconds from the beginning of the stream."""

    def __init__(self, stream: Any) -> None:
        self._base, self._rate = stream.time_base or Fraction(1, _FALLBACK_RATE), _rate(stream)
        self._start: int | None = stream.start_time
        self._last = -1.0
        self.notes: list[str] = []

    def time_of(self, frame: Any, number: int) -> float:
        """Returns a frame's time; times never run backwards."""
        if frame.pts is None:
            self._tell("frames without timestamps: their times are frame number / frame rate")
            time = float(number / self._rate)
        else:
            self._start = frame.pts if self._start is None else self._start
            time = float((frame.pts - self._start) * self._base)
        if time <= self._last:
            self._tell("timestamps that do not grow: such a frame comes half a frame after the one before")
            time = self._last + float(1 / (2 * self._rate))
        self._last = time
        return time

    def _tell(self, note: str) -> None:
        self.notes += [] if note in self.notes else [note]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its video stream.

    Raises:
        DataError: the file cannot be opened, or holds no video.
    """
    av = load_av()
    if not path.is_file():
        raise DataError(f"no video at {path}", "an existing file", "check the path")
    if not path.stat().st_size:
        raise DataError(f"video {path}, which is empty (0 bytes)", "a video file", "copy it again")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DataError(
            f"{path}, which cannot be read as a video ({_reason(error)})",
            "a video that FFmpeg reads, such as MP4 with H.264",
            "copy it again if the copy was cut short, or convert it: ffmpeg -i FILE new.mp4",
        ) from error
    with container:
        streams = [one for one in container.streams.video if not _is_cover(one)]
        if not streams:
            raise DataError(f"{path}, which holds no video", "a file with moving pictures", "check the path")
        stream = streams[0]
        stream.thread_type = "AUTO"
        yield container, stream


def _is_cover(stream: Any) -> bool:
    """Returns True for the picture of a sound file."""
    return "attached_pic" in str(getattr(stream, "disposition", "")).lower()


def _decoded(container: Any, stream: Any, log: ReadingNotes) -> Iterator[Any]:
    """Frames of the stream; what cannot be decoded is counted and left out."""
    errors = load_av().error
    packets, in_a_row = container.demux(stream), 0
    while True:
        try:
            packet = next(packets, None)
            frames = [] if packet is None else packet.decode()
            in_a_row = 0
        except (errors.EOFError, StopIteration):
            return
        except (errors.FFmpegError, ValueError):
            log.broken += 1
            in_a_row += 1
            if in_a_row > _MOST_BROKEN_IN_A_ROW:
                return
            continue
        yield from frames
        if packet is None:
            return


def _rate(stream: Any) -> Fraction:
    return Fraction(stream.average_rate or stream.guessed_rate or _FALLBACK_RATE)


def _shortage(container: Any, stream: Any, read: int, last: float, broken: int) -> list[str]:
    """A note where the file promises more frames, or more time, than could be read."""
    # other containers count empty frames too, or say nothing
    if stream.frames and "mp4" in container.format.name:
        few = stream.frames - read - broken
        text = f"the file says {counted(stream.frames, 'frame')}, and {read} could be read: it is cut short or damaged"
        return [text] if few > 0 else []
    microseconds = container.duration if len(container.streams) == 1 else None
    length = float(stream.duration * stream.time_base) if stream.duration else (microseconds or 0) / 1e6
    if length - last > max(0.5, 5 / float(_rate(stream))):
        return [f"the file says {length:.2f} s, and its last frame that could be read is at {last:.2f} s"]
    return []


def _damage(log: ReadingNotes) -> list[str]:
    notes = [f"{counted(log.broken, 'damaged part')} could not be decoded: left out"] * bool(log.broken)
    repaired = counted(log.repaired, "damaged frame was", "damaged frames were")
    return notes + [f"{repaired} repaired by the decoder and used"] * bool(log.repaired)


def _to_rgb() -> Callable[[Any], np.ndarray]:
    """A function that makes RGB arrays of frames; it keeps its tables from one frame to the next."""
    convert = importlib.import_module("av.video.reformatter").VideoReformatter().reformat
    return lambda frame: convert(frame, format="rgb24", interpolation="BILINEAR", threads=1).to_ndarray()


def _without_frames(path: Path) -> DataError:
    return DataError(
        f"{path}, a video of which no frame can be decoded", "a whole video in a codec that FFmpeg reads",
        "copy it again if the copy was cut short, or convert it: ffmpeg -i FILE new.mp4",
    )  # fmt: skip


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip().partition("\n")[0][:120]
