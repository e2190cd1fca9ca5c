"""Frames of a video as pictures on the disk, evenly spread over it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import cv2

from lvtune.core.errors import DataError
from lvtune.data.arrow import default_cache_dir
from lvtune.data.video_frames import ReadingNotes, VideoInfo, read_frames, video_info
from lvtune.data.video_range import FrameRange

MOST_FRAMES = 200
"""Frames that are taken of a video, unless another number is asked for."""
_LIST = "frames.json"


def frames_of(video: str | Path, most: int = MOST_FRAMES) -> tuple[list[Path], list[str]]:
    """Writes frames of a video into the cache as PNG files, and returns them in their order, and what to tell of them.

    Every n-th frame is taken, with the smallest n that gives at most ``most`` frames. What lies in the cache already is
    not decoded again.

    Args:
        video: the file.
        most: frames, 1 or more.

    Raises:
        DataError: PyAV is missing; no video, or one without a frame that can be read.
    """
    path = Path(video).absolute()
    info = video_info(path)
    about = path.stat()
    mark = json.dumps([str(path), about.st_size, about.st_mtime_ns, most])
    folder = default_cache_dir() / "frames" / hashlib.sha256(mark.encode()).hexdigest()[:20] / path.stem
    known = _known(folder)
    if known is None:
        known = _written(path, folder, -(-_count(path, info) // most), most)
    files = [folder / name for name in known["files"]]
    every = known["every"]
    which = "all frames" if every == 1 else f"one frame of {every}"
    return files, [f"{path.name}: {which}, {len(files)} pictures in {folder}", *known["notes"]]


def _known(folder: Path) -> dict | None:
    """What an earlier call wrote; None: nothing, or files of it are gone."""
    try:
        found = json.loads((folder / _LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if all((folder / name).is_file() for name in found["files"]) else None


def _count(path: Path, info: VideoInfo) -> int:
    """Frames of the video, at least 1; they are counted where the file does not say."""
    if info.frames:
        return info.frames
    if info.seconds:
        return max(1, round(info.seconds * info.rate))
    return max(1, sum(1 for _ in read_frames(path)))


def _written(path: Path, folder: Path, every: int, most: int) -> dict:
    """Writes the frames and the list of them, the list last."""
    folder.mkdir(parents=True, exist_ok=True)
    log, files = ReadingNotes(), []
    for frame in read_frames(path, FrameRange(every=every), log):
        if len(files) == most:  # the file said fewer frames than it has
            break
        name = f"{path.stem}-{frame.number:07d}.png"
        done, data = cv2.imencode(".png", frame.image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not done:
            raise DataError(
                f"frame {frame.number} of {path}", "a frame that can be written as PNG", "convert the video"
            )
        draft = folder / f"{name}.{os.getpid()}.part"
        draft.write_bytes(data.tobytes())
        draft.replace(folder / name)
        files.append(name)
    values = {"every": every, "files": files, "notes": log.notes}
    draft = folder / f"{_LIST}.{os.getpid()}.part"
    draft.write_text(json.dumps(values), encoding="utf-8")
    draft.replace(folder / _LIST)
    return values
