"""Looks at the data once before anything is computed: every picture, and whether the labels can be learnt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lvtune.data.mixed import MixedTable
from lvtune.data.picture_check import check_pictures
from lvtune.data.signal_check import check_signal

if TYPE_CHECKING:
    from lvtune.domains.domain import Split

_SOUND: set[tuple[str, str]] = set()
"""Fingerprint and folder of tables that were found sound in this process."""


def require_sound_splits(splits: Iterable[Split | None]) -> None:
    """Looks at the file of every picture of some splits once; a table that was sound before is not looked at again.

    Raises:
        DataError: pictures that are missing, broken, too large or of another size; their number and the first names.
    """
    for split in splits:
        for table in [] if split is None else _tables(split):
            mark = (table.fingerprint, str(table.root))
            if mark not in _SOUND:
                check_pictures(table).require_sound("" if split is None else split.name)
                _SOUND.add(mark)


def check_labels(split: Split, input_size: tuple[int, int]) -> None:
    """Checks that what is tuned on can be learnt; what is odd but no fault becomes a note of the table.

    Raises:
        DataError: see :func:`lvtune.data.signal_check.check_signal`.
    """
    if split.task == "pose2d":
        notes = check_signal(split.table, input_size)
        if not isinstance(split.table, MixedTable):  # whose notes are those of its parts
            split.table.notes.extend(notes)


def _tables(split: Split) -> list[Any]:
    table = split.table
    return [part for part, _ in table.parts.values()] if isinstance(table, MixedTable) else [table]
