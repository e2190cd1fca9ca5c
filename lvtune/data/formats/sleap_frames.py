"""The pictures behind SLEAP's labels: files, frames in a video, or frames in the .pkg.slp itself.

Frames are taken out into the cache of lvtune, never beside the user's files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted, plural
from lvtune.data.arrow import default_cache_dir
from lvtune.data.formats.labels_extra import need
from lvtune.data.formats.picture_finder import PictureFinder, plain_name


class FrameSource:
    """Files of one video of the labels; the base of the three kinds."""

    group = ""

    def prepare(self, frames: Sequence[int]) -> None:
        """Takes out the frames that will be asked for."""

    def picture(self, frame: int) -> Path | None:
        """Returns the picture file of a frame; None: look for it by its label."""
        raise NotImplementedError

    def label(self, frame: int) -> str:
        """Returns the name of a frame, for notes."""
        return f"{self.group} frame {frame}"

    def notes(self) -> list[str]:
        """Returns sentences about what was done."""
        return []


class PictureFiles(FrameSource):
    """A video that is a list of picture files."""

    def __init__(self, names: Sequence[str], finder: PictureFinder) -> None:
        self._names, self._finder = [plain_name(name) for name in names], finder
        self.group = Path(self._names[0]).parent.name if self._names else ""

    def picture(self, frame: int) -> Path | None:
        """Returns the file of a frame."""
        return self._finder.find(self._names[frame]) if 0 <= frame < len(self._names) else None

    def label(self, frame: int) -> str:
        """Returns the path in the labels."""
        return self._names[frame] if 0 <= frame < len(self._names) else super().label(frame)


class TakenOut(FrameSource):
    """Frames that have to be decoded; they are written into the cache as PNG files."""

    def __init__(self, group: str, key: Sequence[str], origin: str) -> None:
        mark = hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()[:20]
        self.group, self._origin = group, origin
        self._folder = default_cache_dir() / "frames" / mark / group
        self._frames: list[int] = []

    def _file(self, frame: int) -> Path:
        return self._folder / f"{frame:07d}.png"

    def prepare(self, frames: Sequence[int]) -> None:
        """Writes the frames that the cache has not yet."""
        self._frames = list(frames)
        lacking = sorted({frame for frame in frames if not self._file(frame).is_file()})
        if lacking:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(lacking)

    def _write(self, frames: Sequence[int]) -> None:
        raise NotImplementedError

    def _save(self, frame: int, bgr: np.ndarray) -> None:
        _, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        draft = self._file(frame).with_suffix(f".{os.getpid()}.part")
        draft.write_bytes(data.tobytes())
        draft.replace(self._file(frame))

    def picture(self, frame: int) -> Path | None:
        """Returns the file in the cache."""
        return self._file(frame) if self._file(frame).is_file() else None

    def notes(self) -> list[str]:
        """Returns where the frames went."""
        if not self._frames:
            return []
        count = len(self._frames)
        verb = plural(count, "was", "were")
        return [f"{counted(count, 'frame')} of {self._origin} {verb} written into {self._folder}"]


class VideoFrames(TakenOut):
    """Frames of a video file."""

    def __init__(self, video: Path) -> None:
        about = video.stat()
        super().__init__(video.stem, [str(video), str(about.st_size), str(about.st_mtime_ns)], video.name)
        self._video = video

    def _write(self, frames: Sequence[int]) -> None:
        # frame after frame: jumping to a frame is not exact in every codec
        wanted, reader = set(frames), cv2.VideoCapture(str(self._video))
        try:
            for number in range(max(frames) + 1):
                if not reader.grab():
                    raise DataError(
                        f"video {self._video}, which ends at frame {number} (frame {max(frames)} is labelled)",
                        "the video that was labelled, in a codec that OpenCV reads", "give a .pkg.slp with its frames",
                    )  # fmt: skip
                if number in wanted:
                    self._save(number, reader.retrieve()[1])
        finally:
            reader.release()


class EmbeddedFrames(TakenOut):
    """Frames inside a .pkg.slp or another HDF5 file, decoded by sleap-io."""

    def __init__(self, video: Any, file: Path, dataset: str) -> None:
        about = file.stat()
        origin = getattr(video.source_video, "filename", None)
        names = [dataset.partition("/")[0], *([Path(plain_name(origin)).stem] if isinstance(origin, str) else [])]
        group = re.sub(r"[^\w-]+", "_", "-".join(names))
        super().__init__(group, [str(file), dataset, str(about.st_size), str(about.st_mtime_ns)], file.name)
        self._path, self._dataset = file, dataset

    def _write(self, frames: Sequence[int]) -> None:
        sleap_io: Any = need("sleap_io", f"SLEAP's {self._path.name}")
        # the one video alone is opened: others may name files or addresses elsewhere
        video = sleap_io.load_slp(str(self._path), open_videos=False)
        mine = [one for one in video.videos if (one.backend_metadata or {}).get("dataset") == self._dataset]
        match = mine[0]
        match.open()
        for frame in frames:
            image = np.asarray(match[frame])
            self._save(frame, np.repeat(image, 3, 2) if image.shape[2] == 1 else image[..., :3][..., ::-1])
        match.close()


class NotThere(FrameSource):
    """A video file that was not found."""

    def __init__(self, name: str) -> None:
        self._name, self.group = name, Path(name).stem

    def picture(self, frame: int) -> Path | None:
        """Returns None."""
        return None

    def label(self, frame: int) -> str:
        """Returns the video and the frame."""
        return f"{self._name} frame {frame}"


def source_of(video: Any, entry: Path, finder: PictureFinder) -> FrameSource:
    """Returns where the frames of a video of the labels come from.

    Args:
        video: of sleap-io, not opened.
        entry: the .slp file.
        finder: looks below the folder of the file.
    """
    about = video.backend_metadata or {}
    if isinstance(video.filename, list):
        return PictureFiles(video.filename, finder)
    name = plain_name(str(video.filename))
    dataset = str(about.get("dataset") or "")
    if dataset and (Path(name).name == entry.name or Path(video.filename) == entry):
        return EmbeddedFrames(video, entry, dataset)
    found = _find_video(name, [entry.parent, *finder.roots])
    return NotThere(name) if found is None else VideoFrames(found)


def _find_video(name: str, roots: Sequence[Path]) -> Path | None:
    """The video file: relative to one of the folders, as it stands, or the one of that name below the folders."""
    for path in (*(root / name for root in roots), Path(name)):
        if path.is_file():
            return path
    last = name.rpartition("/")[2]
    same = {path.resolve() for root in roots for path in root.rglob(last) if path.is_file()} if last else set()
    return same.pop() if len(same) == 1 else None
