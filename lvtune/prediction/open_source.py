"""Turns what a caller gives as pictures into a source of frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lvtune.core.errors import UsageError
from lvtune.core.text import counted
from lvtune.data.find_images import left_out_note
from lvtune.data.video_frames import is_video
from lvtune.domains.domain import Split
from lvtune.prediction.array_source import ArraySource, is_array, stacked
from lvtune.prediction.file_source import FileSource
from lvtune.prediction.frames import Source
from lvtune.prediction.iterable_source import IterableSource
from lvtune.prediction.picture_paths import named_pictures
from lvtune.prediction.predict_options import PredictOptions
from lvtune.prediction.video_source import VideoSource, one_video
from lvtune.storage.output_folder import relative_paths, without_outputs


def open_source(images: Any, options: PredictOptions, mark: str) -> Source:
    """Returns the source of some pictures.

    Args:
        images: a :class:`Source`; a video; a path, folder or pattern, or several of these; an array (H, W, 3), several
            of these or (N, H, W, 3); PIL pictures; a data set.
        options: of the run.
        mark: file that an earlier run left in its output folder.

    Raises:
        LvtuneError: no such picture; nothing that can be read.
    """
    if isinstance(images, Source):
        return images
    if is_array(images) or (isinstance(images, list | tuple) and any(is_array(one) for one in images)):
        return ArraySource(stacked(images))
    if isinstance(images, str | Path) or (isinstance(images, list | tuple) and _are_paths(images)):
        paths = [Path(one) for one in ([images] if isinstance(images, str | Path) else images)]
        if any(is_video(path) and not path.is_dir() for path in paths):
            return VideoSource(one_video(paths), options.video, options.max_pixels)
        return _files([images] if isinstance(images, str | Path) else list(images), options, mark)
    if isinstance(images, Split):
        return _split_source(images, options)
    if isinstance(images, Iterable):
        return IterableSource(images)
    raise UsageError(
        f"pictures of type {type(images).__name__}",
        "paths, folders, patterns, arrays (H, W, 3), PIL pictures or a data set",
        'give a path, such as predict("photo.jpg")',
    )


def _are_paths(images: Any) -> bool:
    return all(isinstance(one, str | Path) for one in images)


def _split_source(split: Split, options: PredictOptions) -> Source:
    """The pictures of a split, each once; as files where they are shown as they are."""
    table = split.table
    first: dict[Path, int] = {}
    for row in range(len(table)):
        first.setdefault(table.image_path(row), row)
    if split.render is None and all(path.is_file() for path in first):
        relative = {path: Path(str(table.column("image")[row])) for path, row in first.items()}
        return FileSource(list(first), relative, workers=options.workers, max_pixels=options.max_pixels)
    return IterableSource(_Pictures(split, list(first.values())), "picture")


class _Pictures:
    """Some pictures of a split, by their places."""

    def __init__(self, split: Split, rows: list[int]) -> None:
        self._split, self._rows = split, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> Any:
        return self._split.picture(self._rows[place])


def _files(images: list[str | Path], options: PredictOptions, mark: str) -> Source:
    out = None if options.out is None else Path(options.out)
    named = named_pictures(images)
    found = named.files
    files = without_outputs(found, out, mark)
    if not files:
        raise UsageError(f"output folder {out}, which holds all pictures given", "pictures that are not the output of "
                         "an earlier run", "name the folder of the pictures, or another --out")  # fmt: skip
    notes = [f"{counted(len(found) - len(files), 'picture')} of an earlier run in {out} left out"] * (
        len(files) < len(found)
    )
    notes += [note for note in [left_out_note([one for one in images if Path(one).is_dir()])] if note]
    relative = relative_paths(named.given, files)
    return FileSource(files, relative, notes=notes, workers=options.workers, max_pixels=options.max_pixels)
