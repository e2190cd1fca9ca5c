"""Data sets and generators as a source: pictures that come one by one, and are not held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lvtune.core.errors import LvtuneError, UsageError
from lvtune.prediction.array_source import to_pixels
from lvtune.prediction.frames import Frame, Source

COLUMNS = ("image", "picture", "img", "pixel_values")
"""Fields of a row in which a picture is looked for."""


class IterableSource(Source):
    """Pictures that an iterable gives: arrays (H, W, 3) uint8 RGB, PIL pictures, or rows with a field ``image``.

    Args:
        items: a generator, a list, or a data set of the libraries ``datasets`` or ``torch``; with a length and places
            it is read from any place on, else from its beginning.
        name: of its frames: ``name-0``, ``name-1``, ...
    """

    def __init__(self, items: Iterable[Any], name: str = "item") -> None:
        self._items, self._name = items, name
        self.title = f"a {type(items).__name__}"
        self._length = len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
        self._names = None if self._length is None else [Path(f"{name}-{place}") for place in range(self._length)]

    @property
    def pictures(self) -> Sequence[Path] | None:
        """Made-up names; None where the number is not known."""
        return self._names

    @property
    def relative(self) -> Mapping[Path, Path]:
        """The same names."""
        return {name: name for name in self._names or ()}

    def sizes(self, pictures: Sequence[Path]) -> Mapping[Path, Any]:
        """Reads the pictures: nothing else says their sizes."""
        wanted = set(pictures)
        return {frame.picture: frame.size or _unread(frame) for frame in self.frames(0, wanted.__contains__)
                if frame.picture in wanted}  # fmt: skip

    def frames(self, start: int = 0, wanted: Callable[[Path], bool] | None = None) -> Iterator[Frame]:
        """Reads one picture after the other."""
        if self._length is not None and hasattr(self._items, "__getitem__"):
            for place in range(start, self._length):
                yield self._frame(place, lambda place=place: self._items[place], wanted)  # type: ignore[index]
            return
        for place, item in enumerate(self._items):
            if place >= start:
                yield self._frame(place, lambda item=item: item, wanted)

    def identity(self) -> dict[str, Any]:
        """Its kind and length: what is in it is not looked at."""
        return {"title": self.title, "length": self._length, "name": self._name}

    def _frame(self, place: int, read: Callable[[], Any], wanted: Callable[[Path], bool] | None) -> Frame:
        name = Path(f"{self._name}-{place}")
        if wanted is not None and not wanted(name):
            return Frame(place, name, None)
        try:
            return Frame(place, name, to_pixels(_picture_of(read()), f"{self._name} {place}"))
        except LvtuneError:
            raise
        except Exception as error:  # a data set's decoder raises anything at a broken picture
            return Frame(place, name, None, error=f"{name}: {type(error).__name__}: {error}")


def _picture_of(item: Any) -> Any:
    """The picture in a row of a data set, or the item itself."""
    if isinstance(item, Mapping):
        for name in COLUMNS:
            if name in item:
                return item[name]
        raise UsageError(f"a row with the fields {', '.join(map(str, item))}", f"one of {', '.join(COLUMNS)}",
                         "rename the field of the picture to image")  # fmt: skip
    if isinstance(item, tuple) and item:  # (picture, label), as torchvision's data sets give
        return item[0]
    return item


def _unread(frame: Frame) -> LvtuneError:
    from lvtune.core.errors import DataError

    return DataError(frame.error or f"{frame.picture}, which was not read", "a picture", "leave it out")
