"""Picture files as a source: read and decoded ahead by threads, within a bound of pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.data.image_header import PictureHeader
from lvtune.data.images import MAX_PIXELS, read_image
from lvtune.data.picture_headers import read_header_of, read_headers
from lvtune.prediction.frames import Frame, Size, Source, digest

_AHEAD = 2**26
"""Pixels of pictures that are decoded ahead, 200 MB; one larger picture is decoded alone."""


class FileSource(Source):
    """Pictures on the disk.

    Args:
        files: the pictures, each once.
        relative: picture to its path relative to the folder that was given.
        notes: what was left out.
        workers: threads that decode.
        max_pixels: pictures with more pixels are broken.
    """

    title = "pictures"

    def __init__(
        self,
        files: Sequence[Path],
        relative: Mapping[Path, Path],
        *,
        notes: Sequence[str] = (),
        workers: int = 2,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._files, self._relative = list(files), dict(relative)
        self._workers, self._max_pixels = max(1, workers), max_pixels
        self.notes, self.input_files = list(notes), self._files

    @property
    def pictures(self) -> Sequence[Path]:
        """The files."""
        return self._files

    @property
    def relative(self) -> Mapping[Path, Path]:
        """Their paths relative to the folders that were given."""
        return self._relative

    def sizes(self, pictures: Sequence[Path]) -> Mapping[Path, Size | DataError]:
        """Sizes as they are shown, from the headers."""
        return {
            picture: header if isinstance(header, DataError) else header.upright
            for picture, header in zip(pictures, read_headers(pictures), strict=True)
        }

    def frames(self, start: int = 0, wanted: Callable[[Path], bool] | None = None) -> Iterator[Frame]:
        """Decodes ahead, in order."""
        waiting: deque[tuple[int, int, Future[np.ndarray | DataError] | None]] = deque()
        ahead, place = 0, start
        with ThreadPoolExecutor(self._workers, thread_name_prefix="lvtune-decode") as pool:
            try:
                while place < len(self._files) or waiting:
                    while place < len(self._files) and len(waiting) < 4 * self._workers:
                        file = self._files[place]
                        if wanted is not None and not wanted(file):
                            waiting.append((place, 0, None))
                            place += 1
                            continue
                        size = self._pixels_of(file)
                        if ahead and ahead + size > _AHEAD:
                            break
                        waiting.append((place, size, pool.submit(self._read, file)))
                        ahead, place = ahead + size, place + 1
                    index, size, future = waiting.popleft()
                    yield self._frame(index, None if future is None else future.result())
                    ahead -= size
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def identity(self) -> dict[str, Any]:
        """The files' names, sizes and dates: a picture that was exchanged is another input."""
        return {"title": self.title, "files": digest([f"{file} {_stamp(file)}" for file in self._files])}

    def _pixels_of(self, file: Path) -> int:
        """Pixels of a picture by its header; 1 for a broken one."""
        header = read_header_of(file)
        return header.width * header.height if isinstance(header, PictureHeader) else 1

    def _read(self, file: Path) -> np.ndarray | DataError:
        try:
            return read_image(file, self._max_pixels)
        except DataError as error:
            return error

    def _frame(self, index: int, read: np.ndarray | DataError | None) -> Frame:
        if isinstance(read, DataError):
            return Frame(index, self._files[index], None, error=str(read))
        return Frame(index, self._files[index], read)


def _stamp(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"
