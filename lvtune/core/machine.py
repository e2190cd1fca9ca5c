"""What the operating system says of memory and processes: Linux's own files where they are there, else psutil.

psutil comes with Accelerate. Its answers for Windows and macOS were tested with replacements alone.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from pathlib import Path

_PROC = Path("/proc")


def available_bytes() -> int:
    """Returns the bytes that programs may still take on this machine."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = (_PROC / "meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    import psutil

    return int(psutil.virtual_memory().available)


def container_bytes(cgroup: Path) -> int | None:
    """Returns the bytes that programs may still take in this container; None if there is no limit that can be read.

    Pages of files that were read count as used there, but give way where memory is wanted: they count as free here.

    Args:
        cgroup: folder of the container's limits, of version 1 or 2.
    """
    second = (cgroup / "memory.max").is_file()
    folder = cgroup if second else cgroup / "memory"
    names = ("memory.max", "memory.current") if second else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    try:
        limit, used = (int((folder / name).read_text(encoding="ascii")) for name in names)
    except (OSError, ValueError):  # "max" is no limit
        return None
    with contextlib.suppress(OSError, ValueError):
        rows = (line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        pages = {row[0]: int(row[1]) for row in rows if len(row) == 2}
        names = ("inactive_file", "active_file") if second else ("total_inactive_file", "total_active_file")
        used -= sum(pages.get(name, 0) for name in names)
    return max(0, limit - max(0, used))


def total_bytes() -> int:
    """Returns the bytes of memory that this machine has."""
    import psutil

    return int(psutil.virtual_memory().total)


def resident_bytes(*, largest: bool = False) -> int:
    """Returns the resident size of this process; with ``largest`` its peak, or what comes nearest to it."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        mark = "VmHWM" if largest else "VmRSS"
        lines = (_PROC / "self/status").read_text(encoding="utf-8", errors="replace").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith(mark)).split()[1])
    if largest and sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    import psutil

    found = psutil.Process().memory_info()
    return int(getattr(found, "peak_wset", found.rss) if largest else found.rss)


def processor_vendor() -> str:
    """Returns who made the processor, as x86 processors say it themselves (``AuthenticAMD``); "" where unknown."""
    with contextlib.suppress(OSError, StopIteration):
        lines = (_PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line for line in lines if line.startswith("vendor_id")).partition(":")[2].strip()
    # Windows: "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD"
    return platform.processor().rpartition(",")[2].strip() if sys.platform == "win32" else ""


def is_running(pid: int) -> bool:
    """Returns True unless there is certainly no process of this number."""
    if sys.platform == "win32":  # os.kill(pid, 0) would send Ctrl-C to the process there
        import psutil

        return psutil.pid_exists(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def began_at(pid: int) -> str | None:
    """Returns when a process began, in the system's own words; None where it does not say."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    if _PROC.is_dir():
        return None
    import psutil

    with contextlib.suppress(psutil.Error, OSError, ValueError):
        return f"{psutil.Process(pid).create_time():.2f}"
    return None
