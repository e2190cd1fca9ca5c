"""Finds files with the same contents under other names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def copies_of(originals: Iterable[str], files: Iterable[str]) -> set[str]:
    """Returns those of ``files`` that have the contents of one of ``originals``; what cannot be read has none.

    Only files of the size of an original are read.
    """
    sizes: dict[int, list[str]] = {}
    for name in set(originals):
        if (size := _size(name)) is not None:
            sizes.setdefault(size, []).append(name)
    known: dict[int, set[str]] = {}
    found = set()
    for name in set(files):
        size = _size(name)
        if size is None or size not in sizes:
            continue
        if size not in known:
            known[size] = {digest for one in sizes[size] if (digest := _digest(one)) is not None}
        if _digest(name) in known[size]:
            found.add(name)
    return found


def later_copies(files: Iterable[str]) -> set[str]:
    """Returns the files that have the contents of one before them; what cannot be read has none.

    Only files of which another one has the size are read.
    """
    sizes: dict[int | None, list[str]] = {}
    for name in dict.fromkeys(files):
        sizes.setdefault(_size(name), []).append(name)
    seen: set[str] = set()
    found = set()
    for name in (name for size, same in sizes.items() if size is not None and len(same) > 1 for name in same):
        digest = _digest(name)
        if digest in seen:
            found.add(name)
        seen |= set() if digest is None else {digest}
    return found


def _size(name: str) -> int | None:
    try:
        return Path(name).stat().st_size
    except OSError:
        return None


def _digest(name: str) -> str | None:
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError:
        return None
