"""A frame is one picture to predict; a source gives frames one after the other, and holds few of them at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Frame:
    """One picture of a source."""

    index: int
    """Place in the source, from 0."""
    picture: Path
    """Name that no other frame of the source has: the file, or ``array-3``, or a made-up path such as
    ``walk.mp4/000012``. Box files and the names of drawings go by it."""
    pixels: np.ndarray | None
    """(H, W, 3) uint8 RGB; None: broken (see ``error``), or not read because nothing is to be predicted there."""
    number: int | None = None
    """Frame number in its video, from 0; None for a picture."""
    time: float | None = None
    """Seconds from the beginning of its video."""
    error: str | None = None
    """Why it cannot be read."""
    file: str = ""
    """What :attr:`lvtune.Pose.image` says; empty: ``picture``."""
    known_size: Size | None = None
    """Width and height where ``pixels`` are gone."""

    @property
    def image(self) -> str:
        """Path of the picture or video, as results name it."""
        return self.file or str(self.picture)

    @property
    def size(self) -> Size | None:
        """Width and height; None where they are not known."""
        return self.known_size if self.pixels is None else (self.pixels.shape[1], self.pixels.shape[0])


class Source(ABC):
    """Pictures to predict. Derive from it and give :meth:`frames`; see ``file_source.py`` for an example."""

    title: str = "pictures"
    """What is read, for messages."""
    is_sequence: bool = False
    """True if the frames follow each other in time, so that a finder may look where the last frame's animal was."""
    notes: Sequence[str] = ()
    """What was decided and left out, for the user."""
    input_files: Sequence[Path] = ()
    """Files that are read, which no output may replace."""

    @property
    def pictures(self) -> Sequence[Path] | None:
        """:attr:`Frame.picture` of every frame in order; None where nobody knows before they are read."""
        return None

    @property
    def relative(self) -> Mapping[Path, Path]:
        """Picture to its path relative to the folder that was given, by which its drawing is named."""
        return {}

    def count(self) -> int | None:
        """Returns the number of frames; None where nobody knows. It may be an estimate."""
        return None if self.pictures is None else len(self.pictures)

    def sizes(self, pictures: Sequence[Path]) -> Mapping[Path, Size | DataError]:
        """Returns the size of each of some pictures, or what is wrong with it, without reading the pixels."""
        raise NotImplementedError

    @abstractmethod
    def frames(self, start: int = 0, wanted: Callable[[Path], bool] | None = None) -> Iterator[Frame]:
        """Gives the frames in their order.

        A picture that is broken comes as a frame with ``error``. What is read ahead is bounded.

        Args:
            start: index of the first frame wanted: those before it are not read, where the source allows that.
            wanted: a frame whose ``picture`` is not wanted comes without pixels.
        """

    def identity(self) -> dict[str, Any]:
        """Returns what tells this source from another one, in JSON types: a run goes on with an equal source only."""
        names = [] if self.pictures is None else [str(picture) for picture in self.pictures]
        return {"title": self.title, "pictures": digest(names)}


def digest(words: Sequence[str]) -> str:
    """Returns the count of some words and a hash of them."""
    import hashlib

    mark = hashlib.sha256()
    for word in words:
        mark.update(word.encode(errors="surrogateescape") + b"\0")
    return f"{len(words)}:{mark.hexdigest()[:16]}"
