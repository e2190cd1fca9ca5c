"""Time and memory against the size of the data set, of the batch, and the number of adapters.

    python benchmarks/growth.py --people 10000,100000,1000000 --batches 4,8,16,32 --adapters 1,10,100

Each row is a process of its own. `data`: a generated COCO file of so many annotated people is opened for the first time
(parsed and written to the cache), and again, and 1,000 random people are read; `memory` is the peak of the second
opening and reading above imports. `batch`: a step of the default method on vitpose-ti. `adapters`: so many adapters
of the default method are attached, and one is called. The exponent says how a figure grows from one row to the next:
1 is linear.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def data(count: int) -> dict[str, float]:
    """Opens a table of ``count`` people twice."""
    import numpy as np

    from lvtune.api.memory import peak_memory_mb, reset_peak_memory, resident_memory_mb
    from lvtune.data.skeletons import COCO_17
    from lvtune.data.table import read_coco

    rng = np.random.default_rng(0)
    names = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints), "skeleton": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "people.json"
        with file.open("w") as out:
            images = [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(1, count // 2 + 1)]
            out.write(f'{{"images": {json.dumps(images)}, "categories": {json.dumps([names])}, "annotations": [')
            for i in range(count):
                points = np.column_stack([rng.integers(100, 300, (17, 2)), np.full(17, 2)]).ravel().tolist()
                out.write(("," if i else "") + json.dumps({
                    "id": i + 1, "image_id": i % (count // 2) + 1, "category_id": 1, "iscrowd": 0, "area": 4e4,
                    "bbox": [100, 100, 200, 200], "num_keypoints": 17, "keypoints": points,
                }))  # fmt: skip
            out.write("]}")
        seconds = []
        for turn in range(2):
            before = resident_memory_mb()
            if turn:
                reset_peak_memory()
            start = time.process_time()
            table = read_coco(file, folder, cache_dir=folder, published=True)
            seconds.append(time.process_time() - start)
            start = time.process_time()
            for i in rng.integers(0, len(table), 1000):
                table[int(i)]
            seconds.append(time.process_time() - start)
            del table
        peak = peak_memory_mb() - before
    return {"file in MB": round(count * 0.34e-3), "first opening in s": seconds[0], "again in s": seconds[2],
            "ms a person": seconds[3], "memory in MB": peak}  # fmt: skip


def batch(count: int) -> dict[str, float]:
    """Steps of the default method with ``count`` pictures."""
    import torch

    import lvtune
    from lvtune.api.memory import peak_memory_mb, reset_peak_memory, resident_memory_mb
    from lvtune.training.recomputed_activations import recomputed_activations

    torch.set_num_threads(1)
    base = lvtune.load_base("vitpose-ti", "random")
    adapter = lvtune.create_adapter("vlpose-light", base, domain="demo-art")
    lvtune.attach(base, adapter)
    base.train()
    optimizer, seconds = torch.optim.AdamW(adapter.parameters(), lr=1e-4), []
    for turn in range(5):
        if turn == 1:
            reset_peak_memory()
            before = resident_memory_mb()
        start = time.process_time()
        optimizer.zero_grad(set_to_none=True)
        with recomputed_activations():
            loss = base(torch.randn(count if turn else 1, 3, *base.input_size)).square().mean()
        loss.backward()
        optimizer.step()
        seconds.append(time.process_time() - start)
    return {"s a step": min(seconds[2:]), "memory in MB": peak_memory_mb() - before}


def adapters(count: int) -> dict[str, float]:
    """Attaches ``count`` adapters, and calls one."""
    import torch

    import lvtune
    from lvtune.api.memory import resident_memory_mb

    torch.set_num_threads(1)
    base = lvtune.load_base("vitpose-ti", "random")
    lvtune.attach(base, lvtune.create_adapter("vlpose-light", base, domain="demo-art"), "first")
    made = [lvtune.create_adapter("vlpose-light", base, domain="demo-art") for _ in range(count)]
    pixels, before, start = torch.randn(4, 3, *base.input_size), resident_memory_mb(), time.process_time()
    for i, one in enumerate(made):
        lvtune.attach(base, one, f"a{i}")
    attached, times = time.process_time() - start, []
    with torch.no_grad():
        for _ in range(5):
            start = time.process_time()
            base(pixels)
            times.append(time.process_time() - start)
    return {
        "attaching in s": attached,
        "a call in s": min(times),
        "memory beside tensors in MB": resident_memory_mb() - before,
    }


ROWS = {"data": data, "batch": batch, "adapters": adapters}


def main() -> None:
    """Prints a table for each of the three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", default="10000,100000,1000000")
    parser.add_argument("--batches", default="4,8,16,32")
    parser.add_argument("--adapters", default="1,10,100")
    parser.add_argument("--row", nargs=2, help="measure this row in this process, and print JSON")
    options = parser.parse_args()
    if options.row:
        print(json.dumps(ROWS[options.row[0]](int(options.row[1]))))
        return
    for name, counts in (("data", options.people), ("batch", options.batches), ("adapters", options.adapters)):
        last: tuple[int, dict[str, Any]] | None = None
        for count in [int(one) for one in counts.split(",") if one]:
            done = subprocess.run(
                [sys.executable, __file__, "--row", name, str(count)], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            said = []
            for what, value in found.items():
                grown = ""
                if last is not None and min(value, last[1][what]) > 0:
                    grown = f" (^{math.log(value / last[1][what]) / math.log(count / last[0]):.2f})"
                said.append(f"{what} {value:,.3g}{grown}")
            print(f"{name:9}{count:>9,}  " + ", ".join(said), flush=True)
            last = (count, found)


if __name__ == "__main__":
    main()
