"""Looks at the data once before anything is computed: every picture, and whether the labels can be learnt."""

from __future__ import annotations

from collections.abc import Iterable

from lvtune.data import picture_check
from lvtune.data.mixed import MixedTable
from lvtune.data.signal_check import check_signal
from lvtune.domains.domain import Split

_SOUND: set[tuple[str, str]] = set()
"""Fingerprint and folder of tables that were found sound in this process."""


def check_pictures(splits: Iterable[Split | None]) -> None:
    """Looks at the header and the end of every picture of some splits once.

    Raises:
        DataError: pictures that are missing, broken, too large or of another size; their number and the first names.
    """
    for split in splits:
        table = None if split is None else split.table
        parts = [part for part, _ in table.parts.values()] if isinstance(table, MixedTable) else [table]
        for part in parts:
            if part is None or (part.fingerprint, str(part.root)) in _SOUND:
                continue
            picture_check.check_pictures(part).require_sound("" if split is None else split.name)
            _SOUND.add((part.fingerprint, str(part.root)))


def check_labels(split: Split, input_size: tuple[int, int]) -> None:
    """Checks that what is tuned on can be learnt; what is odd but no fault becomes a note of the table.

    Raises:
        DataError: see :func:`lvtune.data.signal_check.check_signal`.
    """
    if split.task == "pose2d":
        notes = check_signal(split.table, input_size)
        if not isinstance(split.table, MixedTable):  # whose notes are those of its parts
            split.table.notes.extend(notes)
