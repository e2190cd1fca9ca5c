"""Reads HDF5 files to their end, in a process of its own: run as a script, it imports no other file of the package.

In a damaged file the HDF5 library may loop without end, or take the process down. Here neither does harm.
:func:`lvtune.data.formats.hdf5_check.check_hdf5` runs this, and waits for a limited time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

AT_ONCE = 2**24
"""Bytes that are read at a time."""
UNSTORED = 2**26
"""Bytes that may be declared and never written: PyTables makes room for an index so."""
MOST_BYTES = 2**31
"""Bytes of one data set that are not of varying length."""
DEFLATE = 1032
"""Largest factor by which deflate compresses (zlib's documentation)."""


def faults(path: str) -> Iterator[str]:
    """Yields what is wrong with a file; reads all data sets and attributes on the way."""
    import h5py

    def look(group: Any) -> Iterator[str]:
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield f"{group.name}/{name} is a link into another file"
            elif isinstance(link, h5py.HardLink):
                item = group[name]
                if item.id in seen:
                    continue
                seen.add(item.id)
                for value in item.attrs:
                    item.attrs.get(value)
                if isinstance(item, h5py.Group):
                    yield from look(item)
                elif isinstance(item, h5py.Dataset):
                    yield from _read(item)

    seen: set[Any] = set()
    with h5py.File(path, "r") as file:
        yield from look(file)


def _read(item: Any) -> Iterator[str]:
    if item.is_virtual or item.external:
        yield f"{item.name} lies in other files"
        return
    if item.shape is None:
        return
    stored = item.id.get_storage_size()
    if item.nbytes > min(MOST_BYTES, DEFLATE * stored + UNSTORED):
        yield f"{item.name} says that it has {item.nbytes} bytes, and {stored} are stored"
        return
    if not item.shape:
        item[()]
        return
    step = max(1, AT_ONCE // max(1, item.nbytes // max(1, item.shape[0])))
    for begin in range(0, item.shape[0], step):
        item[begin : begin + step]


def main() -> None:
    """Reads the path of a file from each line, and answers with what is wrong with it; both as JSON."""
    for line in sys.stdin:
        try:
            fault = next(faults(json.loads(line)), "")
        except Exception as error:  # the library raises many kinds
            fault = f"{type(error).__name__}: {error}"
        print(json.dumps(fault), flush=True)


if __name__ == "__main__":
    main()
