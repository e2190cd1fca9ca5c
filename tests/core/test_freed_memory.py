"""Freed tensors go back to the system at once, unless the user manages memory otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from lvtune.core.freed_memory import LARGE, VARIABLE, return_freed_memory

GLIBC = platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_what_the_user_says_stays(name):
    environ, asked = {name: "mine"}, []
    assert not return_freed_memory(environ, lambda *given: asked.append(given) or 1)
    assert environ == {name: "mine"} and not asked


def test_the_limit_is_set_here_and_for_later_processes():
    environ, asked = {}, []
    assert return_freed_memory(environ, lambda *given: asked.append(given) or 1)
    assert asked == [(-3, LARGE)] and environ == {VARIABLE: str(LARGE)}


def test_a_library_that_refuses_changes_nothing():
    environ = {}
    assert not return_freed_memory(environ, lambda *given: 0)
    assert environ == {}


# a large block is freed first, which raises the limit; then every second one of many blocks below it is freed
HOLES = """
import sys
import torch
from lvtune.api.memory import resident_memory_mb
from lvtune.core.freed_memory import return_freed_memory
if sys.argv[1] == "set":
    assert return_freed_memory()
del (block := [torch.ones(7 << 20)])[:]
blocks = [torch.ones(1 << 20) for _ in range(40)]  # 4 MB each
full = resident_memory_mb()
del blocks[:-1:2]
print(full - resident_memory_mb())
"""


@pytest.mark.skipif(not GLIBC, reason="only GNU's C library keeps holes in this way")
def test_holes_go_back_to_the_system():
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}

    def returned(how):
        done = subprocess.run([sys.executable, "-c", HOLES, how], capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    assert returned("set") > 60  # of 80 MB
    assert returned("as it is") < 20


def test_the_command_line_sets_it():
    code = (
        "import os, sys\nfrom lvtune.cli.main import main\nassert main(['list', 'skeletons']) == 0\n"
        f"print(os.environ.get('{VARIABLE}'), file=sys.stderr)"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.stderr.split()[-1] == (str(LARGE) if GLIBC else "None")
