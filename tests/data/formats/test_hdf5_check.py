"""Damaged, greedy and leading-away HDF5 files end in an error of ours: no endless loop, no crash, no other file."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest

from lvtune.core.errors import DataError
from lvtune.data.formats import hdf5_check

h5py = pytest.importorskip("h5py")


def check_hdf5(path):
    hdf5_check.check_hdf5(path, "an HDF5 file", "save it again")


@pytest.fixture
def texts(tmp_path):
    """A file with texts of varying length, which lie in a heap."""
    path = tmp_path / "labels.h5"
    with h5py.File(path, "w") as file:
        file["names"] = ["snout", "tail base", "left ear"] * 5
        file["points"] = np.arange(12.0).reshape(6, 2)
        file["points"].attrs["unit"] = "px"
        file["again"] = h5py.SoftLink("/points")
    return path


def test_a_sound_file_passes_and_is_read_once(texts, monkeypatch):
    check_hdf5(texts)
    monkeypatch.setattr(hdf5_check.subprocess, "Popen", lambda *args, **kwargs: pytest.fail("read again"))
    check_hdf5(texts)


def test_a_heap_in_which_the_library_loops_without_end(texts, monkeypatch):
    """Free space of no size: the library goes on from where it is, for ever."""
    monkeypatch.setattr(hdf5_check, "SECONDS", 5.0)
    whole = bytearray(texts.read_bytes())
    heap = whole.index(b"GCOL")
    whole[heap + 16 : heap + 32] = struct.pack("<HHIQ", 0, 0, 0, 0)
    texts.write_bytes(whole)
    with pytest.raises(DataError, match=r"did not come to an end in 5 s|cannot be read"):
        check_hdf5(texts)


@pytest.mark.parametrize("damage", [slice(0, 40), slice(100, 900), slice(600, None)])
def test_damage(texts, damage):
    whole = bytearray(texts.read_bytes())
    whole[damage] = b"\xff" * len(whole[damage])
    texts.write_bytes(whole)
    with pytest.raises(DataError, match="cannot be read"):
        check_hdf5(texts)


def test_a_crash_is_an_error(texts, tmp_path, monkeypatch):
    script = tmp_path / "crash.py"
    script.write_text("import os\nos.abort()\n")
    monkeypatch.setattr(hdf5_check.hdf5_reading, "__file__", str(script))
    with pytest.raises(DataError, match="crashed" if os.name == "posix" else "cannot be read"):
        check_hdf5(texts)


def test_one_process_reads_many_files_and_a_new_one_comes_after_a_crash(texts, tmp_path, monkeypatch):
    started, real = [], hdf5_check.subprocess.Popen

    def popen(*args, **kwargs):
        started.append(real(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(hdf5_check.subprocess, "Popen", popen)
    copies = [tmp_path / f"{number} ünd.h5" for number in range(3)]
    for copy in copies:
        copy.write_bytes(texts.read_bytes())
    with hdf5_check.one_reader():
        check_hdf5(copies[0])
        check_hdf5(copies[1])
        assert len(started) == 1
        started[0].kill()
        started[0].wait()
        with pytest.raises(DataError, match="crashed" if os.name == "posix" else "cannot be read"):
            check_hdf5(copies[2])
        os.utime(copies[2], (1, 1))  # another date: it is read again
        check_hdf5(copies[2])
        assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_more_is_declared_than_is_stored(tmp_path):
    path = tmp_path / "greedy.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("points", shape=(10**8, 4), dtype="f8", chunks=(1000, 4))
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="says that it has 3200000000 bytes, and 0 are stored"):
        check_hdf5(path)


def test_links_into_other_files(texts, tmp_path):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = h5py.ExternalLink(str(texts), "/names")
    with pytest.raises(DataError, match="/secret is a link into another file"):
        check_hdf5(other)
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file.create_dataset("raw", (4,), "u1", external=[("/dev/zero", 0, 4)])
    with pytest.raises(DataError, match="/raw lies in other files"):
        check_hdf5(outside)
    virtual = tmp_path / "virtual.h5"
    layout = h5py.VirtualLayout((6, 2), "f8")
    layout[:] = h5py.VirtualSource(str(texts), "points", shape=(6, 2))
    with h5py.File(virtual, "w") as file:
        file.create_virtual_dataset("points", layout)
    with pytest.raises(DataError, match="/points lies in other files"):
        check_hdf5(virtual)
