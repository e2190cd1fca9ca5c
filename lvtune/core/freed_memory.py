"""Gives the memory of freed tensors back to the system at once, where GNU's C library manages it.

That library takes large blocks from the system one by one, and gives each back when it is freed. But when the first
such block is freed it raises what counts as large, up to 32 MB. From then on most tensors of a step lie in one heap,
where freed ones leave holes that the next ones do not fit. The peak of a step is then a fifth higher, and the step no
faster by what could be measured (benchmarks/README.md, "Memory of a step"). A limit that is set is not raised.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, MutableMapping

LARGE = 1 << 20
"""Bytes from which a block is taken from the system by itself."""
VARIABLE = "MALLOC_MMAP_THRESHOLD_"
"""Sets the limit for processes that are started later."""
_MMAP_THRESHOLD = -3
"""Number of the setting in ``malloc.h``."""
_SAID = ("MALLOC_", "GLIBC_TUNABLES")
"""A user who has set any of these manages memory otherwise."""


def return_freed_memory(
    environ: MutableMapping[str, str] = os.environ, mallopt: Callable[[int, int], int] | None = None
) -> bool:
    """Sets the limit for this process and those that it starts; leaves what the user has set.

    Args:
        environ: the environment variables, changed in place.
        mallopt: of the C library; None: that of GNU's, if it is used.

    Returns:
        Whether it was set.
    """
    if any(name.startswith(_SAID) for name in environ):
        return False
    found = mallopt or _mallopt()
    if found is None or found(_MMAP_THRESHOLD, LARGE) != 1:
        return False
    environ[VARIABLE] = str(LARGE)
    return True


def _mallopt() -> Callable[[int, int], int] | None:
    """The function of GNU's C library; None: another one is used."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)
