"""The pictures that `lvtune next` chooses from: without those that are labelled already, each with a box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.found_boxes import with_found_boxes
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.text import counted, shell_word
from lvtune.data.coco_pool import NoCocoFile
from lvtune.data.find_images import is_read
from lvtune.data.picture_copies import copies_of, later_copies
from lvtune.data.unlabelled import read_unlabelled
from lvtune.data.video_frames import is_video

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.pose_table import PoseTable


@dataclass(frozen=True)
class Pool:
    """Pictures to choose from."""

    table: PoseTable
    """Without those whose path is that of a labelled one."""
    known: PoseTable | None
    """Pictures that have labels already; None: none are known."""
    notes: list[str] = field(default_factory=list)

    def boxed(
        self, base: Base, adapter: Any, device: str, say: Callable[[str], None]
    ) -> tuple[PoseTable, PoseTable | None, list[str]]:
        """Returns pool and labelled pictures with the boxes that the adapter needs, and what is to be said of them.

        Copies of labelled pictures are left out, and of equal pictures of the pool all but the first.
        """
        table, more = _without_copies(self.table, self.known)
        table, twins = _without_twins(table)
        more += twins
        say(f"looking at {counted(len(set(table.column('image'))), 'picture')}")
        found = with_found_boxes(table, base, adapter, device)
        known = None if self.known is None else with_found_boxes(self.known, base, adapter, device)
        return found, known, [*self.notes, *more, *(note for note in found.notes if note not in table.notes)]


def open_pool(pool: str | Path, labelled: str | Path | None, adapter: Any, frames: int) -> Pool:
    """Opens the pool, without the pictures that are labelled already.

    Args:
        pool: folder, video or COCO file.
        labelled: pictures that have labels, likewise; None: none are known.
        adapter: whose key points are to be found.
        frames: of a video, at most so many.

    Raises:
        LvtuneError: no such pool; every picture of it is labelled; ``labelled`` is neither a folder nor a COCO file.
    """
    table = read_unlabelled(pool, adapter.skeleton, frames)
    if labelled is None:
        return Pool(table, None, table.notes[1:])
    known = _read_labelled(labelled, adapter)
    done = {str(Path(name).resolve()) for name in known.column("image")}
    free = [i for i, name in enumerate(table.column("image")) if str(Path(name).resolve()) not in done]
    if not free:
        raise UsageError(f"pool {pool}, of which every picture is labelled already", "pictures without labels",
                         "give another pool, or leave --labelled out")  # fmt: skip
    left = len(table) - len(free)
    note = f"{counted(left, 'instance')} of pictures that are labelled already left out"
    return Pool(table.select(free), known, [*table.notes[1:], *([note] if left else [])])


def _read_labelled(labelled: str | Path, adapter: Any) -> PoseTable:
    """The labelled pictures. Files of labels, which tools have beside the pictures, are easily given in their place.

    Raises:
        LvtuneError: no folder, picture, video or COCO file; a fault in it.
    """
    path = Path(labelled)
    what = "which is not there" if not path.exists() else "which is neither a folder of pictures nor a COCO file"
    wrong = UsageError(f"--labelled {shell_word(path)}, {what}", "a folder of pictures or a COCO file",
                       "give one, such as --labelled PROJECT/labeled-data")  # fmt: skip
    is_known = path.is_dir() or path.suffix.lower() == ".json" or is_read(path) or is_video(path)
    if not path.exists() or not is_known:
        raise wrong
    try:
        return read_unlabelled(path, adapter.skeleton)
    except NoCocoFile:
        raise wrong from None
    except LvtuneError as error:
        raise type(error)(f"--labelled: {error.given}", error.expected, error.fix) from error


def _files(table: PoseTable) -> dict[str, str]:
    """Each picture's file, and its name in the table, in the order of the table."""
    return {str(table.image_path(i)): name for i, name in enumerate(table.column("image"))}


def _without_copies(table: PoseTable, known: PoseTable | None) -> tuple[PoseTable, list[str]]:
    """The pool without copies of labelled pictures, which have other paths and the same contents."""
    files = _files(table)
    copies = {files[file] for file in copies_of(() if known is None else _files(known), files)}
    if not copies:
        return table, []
    free = [i for i, name in enumerate(table.column("image")) if name not in copies]
    if not free:
        raise UsageError("a pool of which every picture is a copy of a labelled one", "pictures without labels",
                         "give another pool, or leave --labelled out")  # fmt: skip
    return table.select(free), [
        f"{counted(len(copies), 'copy', 'copies')} of pictures that are labelled already left out"
    ]


def _without_twins(table: PoseTable) -> tuple[PoseTable, list[str]]:
    """The pool with the first alone of pictures that have the same contents: nobody labels a picture twice."""
    files = _files(table)
    twins = {files[file] for file in later_copies(files)}
    if not twins:
        return table, []
    rows = [i for i, name in enumerate(table.column("image")) if name not in twins]
    note = f"{counted(len(twins), 'picture')} left out: the pool has the same contents under another name"
    return table.select(rows), [f"{note} (such as {Path(min(twins)).name})"]
