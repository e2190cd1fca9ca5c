"""Weak scaling: one process with one thread, compared with two processes with one thread each and twice the batch.

    python benchmarks/weak_scaling.py --base vitpose-ti --batch 16 --steps 12

Each process computes as many pictures in both runs, so twice the pictures should take the same time. The printed ratio
is pictures a second with two processes, over those with one, over the number of processes: 1 at best. Gradients are
exchanged by gloo. The loader, the loop and the optimiser are those of `lvtune adapt`; pictures are random and made in
advance. The time of a step is the median from the fourth step on. Needs as many idle cores as processes.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

WARM = 3


def measure(base_name: str, method: str, batch: int, steps: int) -> float:
    """Returns the median seconds of a step in this process."""
    import torch
    from torch.utils.data import Dataset

    import lvtune
    from lvtune.api.recipe import Recipe
    from lvtune.config.options import TrainOptions
    from lvtune.core.processes import world_size
    from lvtune.training.heatmap import HeatmapObjective
    from lvtune.training.loop import tune

    torch.set_num_threads(1)
    base = lvtune.load_base(base_name, "random")
    points = len(base.skeleton.keypoints)
    pixels = torch.randn(3, *base.input_size)
    sample = {"pixel_values": pixels, "keypoints": torch.rand(points, 2) * 90, "visible": torch.ones(points)}

    class Pictures(Dataset):
        def set_epoch(self, epoch: int) -> None:
            """All epochs are alike."""

        def __len__(self) -> int:
            return batch * world_size() * (steps + 1)

        def __getitem__(self, index: int) -> dict[str, Any]:
            return sample | {"category": "", "index": index}

    moments: list[float] = []

    class Timed(HeatmapObjective):
        def __call__(self, base: Any, batch: dict) -> torch.Tensor:
            moments.append(time.perf_counter())
            return super().__call__(base, batch | {"category": None})  # the mean sentence

    options = TrainOptions(steps=steps, batch_size=batch * world_size(), precision="no")
    adapter = lvtune.create_adapter(method, base, **({"domain": "demo-art"} if "vlpose" in method else {}))
    resolved = Recipe(train=options).resolved().train
    tune(base, adapter, Pictures(), Timed(), resolved, device="cpu")
    return statistics.median(b - a for a, b in zip(moments[WARM:], moments[WARM + 1 :], strict=False))


def launched(count: int, options: argparse.Namespace) -> float:
    """Returns the seconds of a step of ``count`` processes: of the slowest of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)} if count > 1 else {}
    command = [sys.executable, __file__, "--inside", "--base", options.base, "--method", options.method,
               "--batch", str(options.batch), "--steps", str(options.steps)]  # fmt: skip
    started = [
        subprocess.Popen(
            command, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1
            else {**os.environ, **shared}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for rank in range(count)
    ]  # fmt: skip
    return max(json.loads(process.communicate()[0].splitlines()[-1]) for process in started)


def main() -> None:
    """Prints the seconds of a step, pictures a second, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="vitpose-ti")
    parser.add_argument("--method", default="vlpose-light")
    parser.add_argument("--batch", type=int, default=16, help="pictures of a process in a step")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--inside", action="store_true", help="be one of the processes, and print JSON")
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(measure(options.base, options.method, options.batch, options.steps)))
        return
    found: dict[int, list[float]] = {1: [], options.processes: []}
    for _ in range(options.repeats):
        for count, seconds in found.items():
            seconds.append(launched(count, options))
    print(f"{options.base}, {options.method}, {options.batch} pictures a process and step, one thread each")
    alone, together = (min(found[count]) for count in found)
    for count, seconds in zip(found, (alone, together), strict=True):
        rate = count * options.batch / seconds
        print(f"  {count} process{'es' * (count > 1):3} {seconds:.3f} s a step, {rate:.1f} pictures/s")
    print(f"  weak scaling: {alone / together:.2f} (1 is perfect)")


if __name__ == "__main__":
    main()
