"""Cached vectors: damage is noticed and mended, and several may write at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from mutants import mutants

from lvtune.language.joint_cache import cached_array

VECTORS = np.linspace(-1, 1, 60, dtype=np.float32).reshape(10, 6)


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path))
    cached_array(("x",), lambda: VECTORS)
    (made,) = tmp_path.rglob("*.npy")
    return made


def test_damage_is_noticed_noted_and_mended(file, caplog):
    whole = file.read_bytes()
    for mutant in mutants(whole, 200, seed=0):
        if mutant == whole:
            continue
        file.write_bytes(mutant)
        calls = []
        found = cached_array(("x",), lambda calls=calls: calls.append(1) or VECTORS)
        assert np.array_equal(found, VECTORS) and calls == [1]
        assert file.read_bytes() == whole
    assert f"note: the cached array {file} is made again (it is damaged)" in caplog.text


def test_it_is_mapped_and_read_only(file):
    found = cached_array(("x",), lambda: 1 / 0)
    assert isinstance(found, np.memmap) and not found.flags.writeable


def test_several_may_write_at_once(file):
    right = []

    def work():
        for _ in range(10):
            file.unlink(missing_ok=True)
            right.append(np.array_equal(cached_array(("y",), lambda: VECTORS), VECTORS))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 40
