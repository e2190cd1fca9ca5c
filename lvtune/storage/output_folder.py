"""Names and checks output files: every input keeps its own, and no input is ever written to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lvtune.config.options import DataOptions
from lvtune.core.errors import UsageError
from lvtune.core.files import user_errors


def make_folder(folder: Path) -> Path:
    """Makes an output folder now: a run of minutes must not end in "permission denied".

    Raises:
        LvtuneError: it cannot be made or written.
    """
    with user_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".lvtune-probe"
        probe.touch()
        probe.unlink()
    return folder


def relative_paths(images: str | Path | Sequence[str | Path], files: Sequence[Path]) -> dict[Path, Path]:
    """Returns each file's path relative to the folder that it was found in; of a file given by itself, its name.

    Where two files would get the same path (two folders with equal names in them), all paths are taken relative to the
    deepest folder that holds every file.

    Args:
        images: pictures and folders, as a user gave them.
        files: the pictures found there.
    """
    given = [images] if isinstance(images, str | Path) else list(images)
    folders = [folder for folder in map(Path, given) if folder.is_dir()]
    found: dict[Path, Path] = {}
    for file in files:
        homes = [folder for folder in folders if file.is_relative_to(folder)]
        found[file] = file.relative_to(homes[0]) if homes else Path(file.name)
    if len(set(found.values())) == len(found):
        return found
    root = os.path.commonpath([file.absolute().parent for file in found])
    return {file: Path(os.path.relpath(file.absolute(), root)) for file in found}


def drawing_paths(relative: Mapping[Path, Path], suffix: str = ".png") -> dict[Path, Path]:
    """Returns the relative path of each picture's drawing: its own with ``suffix``, after its own suffix where needed.

    ``a.jpg`` and ``a.png`` in one folder become ``a.jpg.png`` and ``a.png.png``.
    """
    short = {file: path.with_suffix(suffix) for file, path in relative.items()}
    count: dict[Path, int] = {}
    for path in short.values():
        count[path] = count.get(path, 0) + 1
    long = {file: path.with_name(path.name + suffix) for file, path in relative.items()}
    return {file: path if count[path] == 1 else long[file] for file, path in short.items()}


def without_outputs(files: Sequence[Path], out: Path | None, mark: str) -> list[Path]:
    """Leaves out the drawings of an earlier run, where the output folder lies in an input folder.

    Args:
        files: the pictures found.
        out: the output folder.
        mark: a file that an earlier run left there. Without it the pictures there are inputs, which
            :func:`check_output` refuses to write over.
    """
    if out is None or not (out / mark).is_file():
        return list(files)
    folder = out.resolve()
    return [file for file in files if not file.resolve().is_relative_to(folder)]


def input_folders(data: DataOptions) -> list[Path]:
    """Returns the folders that the user named as data, where they exist."""
    given = (data.data, data.source_data, data.annotations)
    # a mixture names its folders as part=DIR,part=DIR
    names = [name for text in given if text for name in (text, *(p.partition("=")[2] for p in text.split(",")))]
    return [Path(name) for name in names if name and Path(name).is_dir()]


def input_files(data: DataOptions) -> list[Path]:
    """Returns the annotation and box files that the user named as data, where they exist."""
    given = (data.data, data.annotations, data.test_annotations, data.source_annotations, data.boxes)
    return [Path(name) for name in given if name and Path(name).is_file()]


def files_at(*places: str | Path | None) -> list[Path]:
    """Returns the files that places name, such as ``--weights`` and ``--adapter``: a file itself, of a folder its own.

    Names that are no path here, such as Hub ids, have none.
    """
    found: list[Path] = []
    for place in places:
        try:
            path = None if not place else Path(place).expanduser()
            if path is not None and path.is_dir():
                found += [file for file in path.iterdir() if file.is_file()]
            elif path is not None and path.is_file():
                found.append(path)
        except (OSError, ValueError, RuntimeError):  # no path at all
            continue
    return found


def check_output(
    folder: Path,
    targets: Iterable[Path] = (),
    *,
    pictures: Iterable[Path] = (),
    files: Iterable[Path] = (),
    folders: Iterable[Path] = (),
) -> None:
    """Checks that nothing of the user's is written over; links are followed.

    Args:
        folder: the output folder.
        targets: files that will be written.
        pictures: input pictures; no target may lie in the folder of one.
        files: further input files; no target may be one of them.
        folders: input folders; the output folder may be none of them.

    Raises:
        LvtuneError: the output would be written into the input.
    """
    homes = {picture.resolve().parent for picture in pictures} | {one.resolve() for one in folders}
    inputs = {file.resolve() for file in (*pictures, *files)}
    written = {folder / "any", *targets}
    places = {target.resolve() for target in written} | {target.parent.resolve() / target.name for target in written}
    if any(place in inputs or place.parent in homes for place in places):
        raise UsageError(
            f"output folder {folder}, which holds input files",
            "a folder of its own: inputs are never written to",
            "choose another with --out DIR",
        )
