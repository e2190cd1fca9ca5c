"""Spinning and the number of threads: bounded unless the user says otherwise, and before torch reads them."""

import os
import subprocess
import sys

import pytest

from lvtune.core import threads
from lvtune.core.threads import SPIN, cpu_limit, settle_threads


def quota(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "cpu.max").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", None), ("150000 100000\n", 2), ("20000 100000\n", 1), ("400000 100000", 4), ("nonsense", None)],
)
def test_the_quota_of_a_container_is_read(tmp_path, text, cores):
    assert cpu_limit(quota(tmp_path / "v2", text)) == cores


def test_the_first_version_of_cgroups_and_none_at_all(tmp_path):
    assert cpu_limit(tmp_path) is None
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("250000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cpu_limit(tmp_path) == 3
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    assert cpu_limit(tmp_path) is None


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_says_stays(tmp_path, name):
    environ = {name: "mine"}
    assert settle_threads(environ, tmp_path) == {}
    assert environ == {name: "mine"}


def test_fewer_threads_in_a_small_container(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 16)
    folder, environ = quota(tmp_path / "v2", "200000 100000"), {}
    assert settle_threads(environ, folder) == {**SPIN, "OMP_NUM_THREADS": "2"} == environ
    assert "OMP_NUM_THREADS" not in settle_threads({"MKL_NUM_THREADS": "8"}, folder)
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    assert settle_threads({}, folder) == SPIN


def test_a_large_quota_on_few_cores_adds_no_threads(tmp_path, monkeypatch):
    """`docker --cpus 8 --cpuset-cpus 0,1` on a machine with 64 cores."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    assert threads.usable_cores() == 2
    assert settle_threads({}, quota(tmp_path / "v2", "800000 100000")) == SPIN
    monkeypatch.delattr(os, "sched_getaffinity")
    assert threads.usable_cores() == 64


def test_the_command_line_sets_them_before_torch_is_there():
    code = (
        "import os, sys\nfrom lvtune.cli.main import main\nassert main(['list', 'skeletons']) == 0\n"
        "print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT'], file=sys.stderr)"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.split()[-1] == SPIN["GOMP_SPINCOUNT"]
