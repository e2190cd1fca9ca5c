"""Starts one Python script in several processes that know of each other, as torchrun does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PATHS = [str(HERE), str(HERE / "training"), str(HERE.parent)]
HEAD = f"""
import sys
sys.path[:0] = {PATHS!r}
import torch
torch.set_num_threads(1)
"""


def launch(script: str, *args: str, count: int = 2, timeout: float = 600) -> list[tuple[int, str]]:
    """Returns exit code and output (both streams) of each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-c", HEAD + script, *args],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(count)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]
