"""Memory and processes, as Linux says them and as psutil does elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lvtune.core import machine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """A system without /proc."""
    monkeypatch.setattr(machine, "_PROC", tmp_path / "none")


@pytest.fixture
def windows(elsewhere, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("on Windows this would send Ctrl-C"))


def test_both_ways_tell_about_the_same(monkeypatch, tmp_path):
    told = machine.resident_bytes(), machine.available_bytes(), machine.resident_bytes(largest=True)
    monkeypatch.setattr(machine, "_PROC", tmp_path / "none")
    others = machine.resident_bytes(), machine.available_bytes(), machine.resident_bytes(largest=True)
    for one, other in zip(told, others, strict=True):
        assert 0.5 < one / other < 2
    assert machine.total_bytes() > others[1] > 1e7


def test_a_process_that_has_ended(elsewhere):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not machine.is_running(process.pid) and machine.began_at(process.pid) is None
    assert machine.is_running(os.getpid()) and machine.began_at(os.getpid()) == machine.began_at(os.getpid())


@pytest.mark.parametrize("answer", [True, False])
def test_on_windows_nothing_is_sent_to_a_process(windows, monkeypatch, answer):
    asked = []
    monkeypatch.setattr("psutil.pid_exists", lambda pid: asked.append(pid) or answer)
    assert machine.is_running(4321) is answer and asked == [4321]


def test_the_peak_on_windows_is_that_of_the_working_set(windows, monkeypatch):
    found = SimpleNamespace(rss=2**20, peak_wset=3 * 2**20)
    monkeypatch.setattr("psutil.Process", lambda *_: SimpleNamespace(memory_info=lambda: found))
    assert machine.resident_bytes(largest=True) == 3 * 2**20 and machine.resident_bytes() == 2**20


def test_no_module_that_windows_lacks_is_imported_at_the_top():
    """In a process of its own: the modules of Linux and macOS alone cannot be imported, and all of lvtune can."""
    code = """
import importlib, pkgutil, sys
for name in ("resource", "fcntl", "termios", "pwd", "grp"):
    sys.modules[name] = None
import lvtune
rooms = ("core", "config", "data", "api", "storage", "training", "cli", "prediction", "demo")
for room in rooms:
    package = importlib.import_module(f"lvtune.{room}")
    for found in pkgutil.iter_modules(package.__path__):
        try:
            importlib.import_module(f"lvtune.{room}.{found.name}")
        except ModuleNotFoundError as error:
            if error.name in ("resource", "fcntl", "termios", "pwd", "grp"):
                raise
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_who_made_the_processor(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n")
    assert machine.processor_vendor() == "AuthenticAMD"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n")
    assert machine.processor_vendor() == ""
    monkeypatch.setattr(machine.sys, "platform", "win32")
    monkeypatch.setattr(machine.platform, "processor", lambda: "Intel64 Family 6 Model 85 Stepping 4, GenuineIntel")
    assert machine.processor_vendor() == "GenuineIntel"


def limits(folder, **values):
    folder.mkdir(parents=True)
    for name, value in values.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")
    return folder


def test_what_is_left_in_a_container(tmp_path):
    second = limits(tmp_path / "v2", memory__max=1000, memory__current=900)
    assert machine.container_bytes(second) == 100
    (second / "memory.stat").write_text("anon 300\ninactive_file 400\nactive_file 150\nodd\n")
    assert machine.container_bytes(second) == 650  # pages of files give way
    assert machine.container_bytes(limits(tmp_path / "none", memory__max="max", memory__current=5)) is None
    first = tmp_path / "v1"
    limits(first / "memory", memory__limit_in_bytes=1000, memory__usage_in_bytes=700)
    assert machine.container_bytes(first) == 300
    (first / "memory" / "memory.stat").write_text("total_inactive_file 100\ntotal_active_file 50\n")
    assert machine.container_bytes(first) == 450
    assert machine.container_bytes(tmp_path / "nothing") is None
