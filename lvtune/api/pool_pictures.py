"""The pictures that `lvtune next` chooses from: without those that are labelled already, each with a box."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.found_boxes import with_found_boxes
from lvtune.core.errors import UsageError
from lvtune.core.text import counted
from lvtune.data.unlabelled import read_unlabelled

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

        Copies of labelled pictures are left out.
        """
        table, more = _without_copies(self.table, self.known)
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
        LvtuneError: no such pool; every picture of it is labelled.
    """
    table = read_unlabelled(pool, adapter.skeleton, frames)
    if labelled is None:
        return Pool(table, None, table.notes[1:])
    known = read_unlabelled(labelled, adapter.skeleton)
    done = {str(Path(name).resolve()) for name in known.column("image")}
    free = [i for i, name in enumerate(table.column("image")) if str(Path(name).resolve()) not in done]
    if not free:
        raise UsageError(f"pool {pool}, of which every picture is labelled already", "pictures without labels",
                         "give another pool, or leave --labelled out")  # fmt: skip
    left = len(table) - len(free)
    note = f"{counted(left, 'instance')} of pictures that are labelled already left out"
    return Pool(table.select(free), known, [*table.notes[1:], *([note] if left else [])])


def _without_copies(table: PoseTable, known: PoseTable | None) -> tuple[PoseTable, list[str]]:
    """The pool without copies of labelled pictures, which have other paths and the same contents."""
    if known is None:
        return table, []
    digest = lambda one, i: hashlib.sha256(one.image_path(i).read_bytes()).hexdigest()  # noqa: E731
    sizes = {known.image_path(i).stat().st_size for i in range(len(known))}
    alike = {name: i for i, name in enumerate(table.column("image")) if table.image_path(i).stat().st_size in sizes}
    if not alike:
        return table, []
    done = {digest(known, i) for i in {name: i for i, name in enumerate(known.column("image"))}.values()}
    copies = {name for name, i in alike.items() if digest(table, i) in done}
    free = [i for i, name in enumerate(table.column("image")) if name not in copies]
    if not free:
        raise UsageError("a pool of which every picture is a copy of a labelled one", "pictures without labels",
                         "give another pool, or leave --labelled out")  # fmt: skip
    note = f"{counted(len(copies), 'copy', 'copies')} of pictures that are labelled already left out"
    return (table.select(free), [note]) if copies else (table, [])
