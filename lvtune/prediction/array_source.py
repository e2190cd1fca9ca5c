"""Pictures in memory as a source: numpy arrays and PIL pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.prediction.frames import Frame, Size, Source, digest


class ArraySource(Source):
    """Pictures in memory, named ``array-0``, ``array-1``, ...

    Args:
        arrays: (H, W, 3) uint8 RGB each, or PIL pictures.

    Raises:
        UsageError: an array of another shape or type.
    """

    title = "arrays"

    def __init__(self, arrays: Sequence[Any]) -> None:
        self._arrays = [to_pixels(array, f"array {place}") for place, array in enumerate(arrays)]
        self._names = [Path(f"array-{place}") for place in range(len(self._arrays))]
        if not self._arrays:
            raise UsageError("no arrays", "at least one picture (H, W, 3)", "give one")

    @property
    def pictures(self) -> Sequence[Path]:
        """Made-up names."""
        return self._names

    @property
    def relative(self) -> Mapping[Path, Path]:
        """The same names."""
        return {name: name for name in self._names}

    def sizes(self, pictures: Sequence[Path]) -> Mapping[Path, Size | DataError]:
        """Sizes of the arrays."""
        known = {name: (array.shape[1], array.shape[0]) for name, array in zip(self._names, self._arrays, strict=True)}
        return {picture: known[picture] for picture in pictures}

    def frames(self, start: int = 0, wanted: Callable[[Path], bool] | None = None) -> Iterator[Frame]:
        """Gives the arrays themselves."""
        for place in range(start, len(self._arrays)):
            name = self._names[place]
            yield Frame(place, name, self._arrays[place] if wanted is None or wanted(name) else None)

    def identity(self) -> dict[str, Any]:
        """A hash of the pixels."""
        marks = [hashlib.sha256(array.tobytes()).hexdigest() for array in self._arrays]
        return {"title": self.title, "arrays": digest(marks)}


def is_array(value: Any) -> bool:
    """Returns True for a numpy array, a tensor or a PIL picture."""
    return isinstance(value, np.ndarray) or (hasattr(value, "__array_interface__") or hasattr(value, "__array__"))


def stacked(images: Any) -> list[Any]:
    """Returns pictures one by one: of one picture, of (N, H, W, 3), or of a list."""
    if isinstance(images, list | tuple):
        return list(images)
    return list(images) if np.ndim(images) == 4 else [images]


def to_pixels(array: Any, name: str) -> np.ndarray:
    """Returns a picture as (H, W, 3) uint8 RGB.

    Args:
        array: of that shape and type, or a PIL picture of any mode.
        name: for the error.

    Raises:
        UsageError: another shape or type.
    """
    if hasattr(array, "convert") and hasattr(array, "getbands"):  # a PIL picture
        array = array.convert("RGB")
    found = np.asarray(array)
    if found.ndim != 3 or found.shape[2] != 3 or found.dtype != np.uint8 or not found.size:
        fix = "convert it: np.asarray(picture.convert('RGB')), or (255 * values).astype(np.uint8)"
        raise UsageError(f"{name} of shape {found.shape} and type {found.dtype}", "(H, W, 3) uint8, RGB", fix)
    return found
