"""Time of a tuning step of the default method on an idle machine and on a busy one, for each way in which threads wait.

    python benchmarks/busy_machine.py            # needs a machine on which nothing else runs

The other job has two threads. Each row is a new process, because the OpenMP runtime reads its settings once. Ratios are
to the first idle row.
"""

from __future__ import annotations

import os
import subprocess
import sys

STEP = """
import statistics, sys, time
import torch, lvtune
from lvtune.training.heatmap import HeatmapObjective
base = lvtune.load_base("vitpose-ti")
adapter = lvtune.create_adapter("vlpose-light", base, domain="demo-art").train()
height, width = base.input_size
batch = {
    "pixel_values": torch.randn(16, 3, height, width), "category": ["sketch"] * 16,
    "keypoints": torch.rand(16, 14, 2) * torch.tensor([width, height]), "visible": torch.ones(16, 14),
}
objective, optimizer = HeatmapObjective(), torch.optim.AdamW(adapter.parameters(), lr=1e-4)
seconds = []
with lvtune.attach(base, adapter):
    for _ in range(int(sys.argv[1])):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        objective(base, batch).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
print(statistics.median(seconds[3:]))
"""
LOAD = "import torch\na = torch.randn(1500, 1500)\nwhile True: a = torch.tanh(a @ a)"
WAYS = {
    "torch's own default": {},
    "lvtune (GOMP_SPINCOUNT=1000)": {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}


def seconds_a_step(extra: dict[str, str], steps: int = 25) -> float:
    """Median seconds of a step in a process with these settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    command = [sys.executable, "-c", STEP, str(steps)]
    done = subprocess.run(command, env={**env, **extra}, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Prints a row for each way of waiting: idle, busy, and both over the first idle row."""
    idle = {name: seconds_a_step(extra) for name, extra in WAYS.items()}
    load = subprocess.Popen([sys.executable, "-c", LOAD])
    try:
        busy = {name: seconds_a_step(extra, 12) for name, extra in WAYS.items()}
    finally:
        load.kill()
    first = next(iter(idle.values()))
    print(f"{'threads wait':32} {'idle':>7} {'busy':>7}   (x the first row's idle step, {first:.3f} s)")
    for name in WAYS:
        print(f"{name:32} {idle[name] / first:7.2f} {busy[name] / first:7.2f}")


if __name__ == "__main__":
    main()
