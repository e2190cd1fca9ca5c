"""Sets how long waiting threads spin, and how many threads there are, for machines that several programs share.

Both must be set in the environment before torch is imported, since its OpenMP runtime reads them once, when it is
loaded. The wheels of torch for Linux bring GNU's libgomp; others bring LLVM's or Intel's runtime.
"""

from __future__ import annotations

import math
import os
from collections.abc import MutableMapping
from pathlib import Path

SPIN = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
"""How long a thread spins before it sleeps: rounds for GNU's runtime, milliseconds for LLVM's and Intel's.

GNU's default is about 300,000 rounds a thread. While other programs want the cores, such a thread burns the time that
the others need, and a step takes many times as long (benchmarks/busy_machine.py).
"""
_SPIN_SAID = ("OMP_WAIT_POLICY", *SPIN)
_COUNT_SAID = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CGROUP = Path("/sys/fs/cgroup")


def settle_threads(environ: MutableMapping[str, str] = os.environ, cgroup: Path = _CGROUP) -> dict[str, str]:
    """Bounds spinning, and the number of threads in a container with a CPU quota; leaves what the user has set.

    Args:
        environ: the environment variables, changed in place.
        cgroup: folder of the container's limits.

    Returns:
        The variables that were set.
    """
    found = {} if any(name in environ for name in _SPIN_SAID) else dict(SPIN)
    limit, cores = cpu_limit(cgroup), usable_cores()
    if limit is not None and limit < cores and not any(name in environ for name in _COUNT_SAID):
        found["OMP_NUM_THREADS"] = str(limit)  # else OpenMP takes the cores that it may run on
    environ.update(found)
    return found


def usable_cores() -> int:
    """Returns the number of cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)  # of Linux
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def cpu_limit(cgroup: Path = _CGROUP) -> int | None:
    """Returns how many cores the container may use, rounded up; None if there is no limit that can be read.

    Reads ``cpu.max`` of cgroup version 2, else ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us`` of version 1.
    """
    try:
        if (cgroup / "cpu.max").is_file():
            quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text(encoding="ascii").strip()
        share = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max" means no limit
        return None
    return max(1, math.ceil(share)) if share > 0 else None
