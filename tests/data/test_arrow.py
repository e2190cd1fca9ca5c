"""The cache of tables: damage is noticed and mended, and several may write at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from mutants import mutants

from lvtune.data.arrow import cached_columns

VALUES = {
    "xy": np.arange(24, dtype=np.float32).reshape(4, 3, 2),
    "ids": np.arange(4, dtype=np.int64) * 10**12,
    "names": ["a.jpg", "b.jpg", "", "d é.jpg"],
}


def read(folder, calls=None):
    def make():
        if calls is not None:
            calls.append(1)
        return VALUES, {"notes": ["one"]}

    return cached_columns("key", make, folder)


def is_right(columns):
    texts = [columns["names"][i].as_py() for i in range(4)]
    arrays = all(np.array_equal(columns[name], VALUES[name]) for name in ("xy", "ids"))
    return arrays and texts == VALUES["names"] and columns.meta["notes"] == ["one"]


@pytest.fixture
def file(tmp_path):
    read(tmp_path)
    return tmp_path / "tables" / "key.arrow"


def test_what_is_cached_is_not_made_again(file, tmp_path):
    calls = []
    columns = read(tmp_path, calls)
    assert is_right(columns) and not calls
    assert not columns["xy"].flags.writeable


def test_damage_is_noticed_noted_and_mended(file, tmp_path, caplog):
    whole = file.read_bytes()
    for number, mutant in enumerate(mutants(whole, 150, seed=0)):
        if mutant == whole:
            continue
        file.unlink()
        file.write_bytes(mutant)
        calls = []
        assert is_right(read(tmp_path, calls)), number
        assert calls == [1]
        assert file.read_bytes() == whole
    assert f"note: the cached table {file} is made again (it is damaged)" in caplog.text


def test_files_from_before_the_checksum_are_made_again(file, tmp_path):
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(whole[:-48])
    assert is_right(read(tmp_path))
    assert file.read_bytes() == whole


def test_a_folder_in_its_place_is_done_without(tmp_path):
    (tmp_path / "tables" / "key.arrow").mkdir(parents=True)
    assert is_right(read(tmp_path))


def test_several_may_write_at_once(tmp_path):
    right = []

    def work():
        for _ in range(5):
            right.append(is_right(read(tmp_path)))
            (tmp_path / "tables" / "key.arrow").unlink(missing_ok=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 20
    assert not list((tmp_path / "tables").glob("*.part"))
