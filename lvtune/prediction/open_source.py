"""Turns what a caller gives as pictures into a source of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvtune.core.errors import UsageError
from lvtune.data.find_images import find_images, left_out_note
from lvtune.data.video_frames import is_video
from lvtune.prediction.array_source import ArraySource, is_array, stacked
from lvtune.prediction.file_source import FileSource
from lvtune.prediction.frames import Source
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
        return _files(images, options, mark)
    raise UsageError(f"pictures of type {type(images).__name__}", "paths, folders, arrays (H, W, 3) or PIL pictures",
                     'give a path, such as predict("photo.jpg")')  # fmt: skip


def _are_paths(images: Any) -> bool:
    return all(isinstance(one, str | Path) for one in images)


def _files(images: Any, options: PredictOptions, mark: str) -> Source:
    out = None if options.out is None else Path(options.out)
    found = list(dict.fromkeys(find_images(images)))
    files = without_outputs(found, out, mark)
    if not files:
        raise UsageError(f"output folder {out}, which holds all pictures given", "pictures that are not the output of "
                         "an earlier run", "name the folder of the pictures, or another --out")  # fmt: skip
    notes = [f"{len(found) - len(files)} pictures of an earlier run in {out} left out"] * (len(files) < len(found))
    notes += [note for note in [left_out_note(images)] if note]
    relative = relative_paths(images, files)
    return FileSource(files, relative, notes=notes, workers=options.workers, max_pixels=options.max_pixels)
