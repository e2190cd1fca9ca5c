"""Looks at every picture once before anything is computed: none may be missing, broken or of another size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lvtune.core.errors import DataError
from lvtune.data.check import check_data
from lvtune.data.mixed import MixedTable
from lvtune.domains.domain import Split

_FAULTS = {
    "pictures_missing": "pictures are missing",
    "pictures_broken": "pictures cannot be read",
    "pictures_of_other_size": "pictures are of another size than annotated",
}
_SOUND: set[tuple[str, str]] = set()
"""Fingerprint and folder of tables that were found sound in this process."""


def check_pictures(splits: Iterable[Split | None]) -> None:
    """Reads every picture of some splits once, as ``lvtune check-data`` does.

    Raises:
        DataError: pictures that are missing, broken or of another size; their number and the first names.
    """
    for split in splits:
        table = None if split is None else split.table
        parts = [part for part, _ in table.parts.values()] if isinstance(table, MixedTable) else [table]
        for part in parts:
            if part is None or (part.fingerprint, str(part.root)) in _SOUND:
                continue
            _raise_faults(check_data(part), "" if split is None else split.name)
            _SOUND.add((part.fingerprint, str(part.root)))


def _raise_faults(found: Mapping[str, Any], name: str) -> None:
    for fault, words in _FAULTS.items():
        count, first = found[fault]["count"], found[fault]["first"]
        if count:
            more = ", ..." if count > len(first) else ""
            raise DataError(
                f"{count} of {found['pictures_read']} {words} in {name}: {', '.join(first)}{more}",
                "every picture whole and as annotated",
                "mend the pictures or the annotations; `lvtune check-data` lists them",
            )
