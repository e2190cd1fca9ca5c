"""Freed tensors go back to the system inside of the block, unless the user manages memory otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from lvtune.core import freed_memory
from lvtune.core.freed_memory import LARGE, MOST, can_return_memory, returning_memory

GLIBC = platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"


@pytest.fixture
def asked(monkeypatch):
    """What the C library was asked for."""
    found = []
    monkeypatch.setattr(freed_memory, "_mallopt", lambda: lambda number, size: found.append((number, size)))
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD"))]:
        monkeypatch.delenv(name)
    return found


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_what_the_user_says_stays(asked, monkeypatch, name):
    assert can_return_memory()
    monkeypatch.setenv(name, "mine")
    with returning_memory():
        assert not can_return_memory()
    assert not asked


def test_the_limit_is_low_inside_of_the_block_alone(asked):
    with pytest.raises(ValueError), returning_memory():
        assert asked == [(-3, LARGE), (-1, 2 * LARGE)]
        raise ValueError
    assert asked[2:] == [(-3, MOST), (-1, 2 * MOST)]


def test_the_outermost_block_sets_it(asked):
    with returning_memory():
        with returning_memory():
            pass
        assert len(asked) == 2
    assert len(asked) == 4


def test_a_library_that_is_loaded_before_manages_memory_itself(asked, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libjemalloc.so.2")
    assert not can_return_memory()


def test_another_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda *given: ("", ""))
    assert not can_return_memory()
    with returning_memory():
        pass


# a large block is freed first, which raises the limit; then every second one of many blocks below it is freed
HOLES = """
import contextlib
import sys
import torch
from lvtune.api.memory import resident_memory_mb
from lvtune.core.freed_memory import returning_memory
with returning_memory() if sys.argv[1] == "returned" else contextlib.nullcontext():
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

    assert returned("returned") > 60  # of 80 MB
    assert returned("kept") < 20
