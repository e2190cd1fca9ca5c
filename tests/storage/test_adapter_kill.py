"""Killed while saving, at every step and at random: the folder always holds a whole adapter, old or new."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from adapter_samples import adapter

from lvtune.storage.adapter_file import CONFIG_FILE, TENSORS_FILE, read, save

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")


def whole(folder):
    """The value of the adapter in the folder, once tensors and config are seen to belong together."""
    tensors, config = read(folder)
    values = {float(number) for tensor in tensors.values() for number in tensor.flatten()}
    assert len(values) == 1
    (value,) = values
    assert config["training"]["steps"] == int(10 * value)
    return value


@pytest.mark.parametrize("peft", [None, {"peft_type": "LORA"}])
def test_stopped_before_every_single_step(tmp_path, monkeypatch, peft):
    """Each change of the folder in turn is the last one that happens."""

    class Killed(BaseException):
        pass

    def run(allowed):
        folder = tmp_path / str(allowed)
        save(*adapter(1.0), folder, peft_config=peft)
        left = allowed

        def limited(real):
            def call(*args, **kwargs):
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                return real(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", limited(os.replace))
            patch.setattr(Path, "unlink", limited(Path.unlink))
            patch.setattr(os, "fsync", limited(os.fsync))
            try:
                save(*adapter(2.0), folder, peft_config=peft)
                finished = True
            except Killed:
                finished = False
        return finished, whole(folder), sorted(path.name for path in folder.glob("[!.]*"))

    values, allowed, finished = [], 0, False
    while not finished:
        finished, value, files = run(allowed)
        values.append(value)
        assert TENSORS_FILE in files
        allowed += 1
    assert values == sorted(values), "once the new adapter is there the old one never comes back"
    assert (values[0], values[-1]) == (1.0, 2.0)
    assert len(values) > 6
    assert CONFIG_FILE in files


LOOP = """
import os, signal, sys, time
sys.path[:0] = sys.argv[2].split(os.pathsep)
from adapter_samples import adapter
from lvtune.storage.adapter_file import save
from test_adapter_kill import whole
import random
folder, rounds, seen = sys.argv[1], int(sys.argv[3]), []
clock = random.Random(0)
save(*adapter(1.0), folder)
for _ in range(rounds):
    child = os.fork()
    if child == 0:
        value = 1.0
        while True:
            value = 3.0 - value
            save(*adapter(value), folder)
    time.sleep(clock.uniform(0.002, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    seen.append(whole(folder))
left = [name for name in os.listdir(folder) if name.endswith(".tmp")]
print(len(seen), 2.0 in seen and set(seen) <= {1.0, 2.0}, len(left) <= 2 * rounds)
"""


def test_killed_at_random_moments(tmp_path):
    here = Path(__file__)
    command = [sys.executable, "-c", LOOP, str(tmp_path), os.pathsep.join(map(str, here.parents[:2])), "60"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=env, cwd=here.parents[2], timeout=300
    )
    assert done.stdout == "60 True True\n", done.stderr


def test_read_while_another_saves(tmp_path):
    save(*adapter(1.0), tmp_path)
    stop, seen = threading.Event(), set()

    def saver():
        value = 1.0
        while not stop.is_set():
            value = 3.0 - value
            save(*adapter(value), tmp_path)

    thread = threading.Thread(target=saver)
    thread.start()
    try:
        deadline = time.monotonic() + 120
        reads = 0
        # on a busy machine the saver may not have had its turn yet
        while reads < 200 or (len(seen) < 2 and time.monotonic() < deadline):
            seen.add(whole(tmp_path))
            reads += 1
    finally:
        stop.set()
        thread.join()
    assert seen == {1.0, 2.0}
