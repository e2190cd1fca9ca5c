"""Code that runs in a process of its own, which may take only so much memory more than its imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CAP = """
import resource
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + {more}, now + {more}))
"""


def run_capped(code: str, *, megabytes: int, imports: str = "", timeout: float = 300) -> subprocess.CompletedProcess:
    """Runs Python code whose address space may grow by ``megabytes`` once ``imports`` have run.

    A bomb that goes off fails with MemoryError, or is killed at the time limit, instead of filling the machine.
    """
    whole = imports + "\n" + _CAP.format(more=megabytes * 2**20) + "\n" + code
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable, "-c", whole], capture_output=True, text=True, check=False, env=env, cwd=ROOT, timeout=timeout
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done
