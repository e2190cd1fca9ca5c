"""Looks at every picture once before anything is computed: none may be missing, broken or of another size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lvtune.data.mixed import MixedTable
from lvtune.data.picture_check import check_pictures

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
                check_pictures(table).require_sound()
                _SOUND.add(mark)


def _tables(split: Split) -> list[Any]:
    table = split.table
    return [part for part, _ in table.parts.values()] if isinstance(table, MixedTable) else [table]
