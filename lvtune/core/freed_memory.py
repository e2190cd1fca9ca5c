"""Gives the memory of freed tensors back to the system at once, where GNU's C library manages it.

That library takes large blocks from the system one by one, and gives each back when it is freed. But when the first
such block is freed it raises what counts as large, up to 32 MB. From then on most tensors of a step lie in one heap,
where freed ones leave holes that the next ones do not fit, and the peak is higher than what the tensors take. A limit
that is set is not raised. Blocks from the system cost time, though: it clears each page of them.

The library's own raising does not come back in a process in which a limit was set.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Callable, Iterator, Mapping

LARGE, MOST = 1 << 20, 32 << 20
"""Bytes from which memory is taken from the system by itself: inside of :func:`returning_memory`, and behind it, where
it is the most that the library raises it to."""
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Numbers of the settings in ``malloc.h``; the second one is kept at twice the first, as the library does."""
_SAID = ("MALLOC_", "GLIBC_TUNABLES")
"""A user who has set any of these manages memory otherwise."""

_open: list[bool] = []
"""One entry for each block that is under way."""


def can_return_memory(environ: Mapping[str, str] = os.environ) -> bool:
    """Returns True where GNU's C library manages memory, and the user has not set how."""
    is_other = "malloc" in environ.get("LD_PRELOAD", "")  # jemalloc, tcmalloc
    return _mallopt() is not None and not is_other and not any(name.startswith(_SAID) for name in environ)


@contextlib.contextmanager
def returning_memory() -> Iterator[None]:
    """Inside, blocks of 1 MB and more go back to the system when they are freed; nothing changes with other libraries.

    It is a setting of the whole process; of blocks inside of one another the outermost one sets it.
    """
    is_outermost = not _open
    _open.append(True)
    if is_outermost:
        _limit(LARGE)
    try:
        yield
    finally:
        _open.pop()
        if is_outermost:
            _limit(MOST)


def _limit(size: int) -> None:
    setting = _mallopt() if can_return_memory() else None
    if setting is not None:
        setting(MMAP_THRESHOLD, size)
        setting(TRIM_THRESHOLD, 2 * size)


def _mallopt() -> Callable[[int, int], int] | None:
    """The function of GNU's C library; None: another one is used."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)
