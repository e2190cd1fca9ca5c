"""A step of a method that leaves the encoder as it is, with features that were computed before, over one without.

    python benchmarks/cached_features.py --base vitpose-b --batch 4 --repeats 3

Random weights and pictures, the heatmap loss, AdamW; in turns in one process. What an epoch takes after the first one
is this ratio, but for reading the pictures, which is the same.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lvtune
from lvtune.training.feature_cache import FeatureCache
from lvtune.training.heatmap import HeatmapObjective

ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "head": ("head", {}),
    "head, the predictor alone": ("head", {"part": "predictor"}),
    "vlpose --method.placement none": ("vlpose", {"placement": "none", "domain": "demo-art"}),
    "last-blocks, the last 2": ("last-blocks", {"blocks": 2}),
}


def stepper(base: Any, adapter: Any, batch: dict[str, Any]) -> Callable[[Any], float]:
    """A tuning step that takes processor seconds; given a cache, its features are read."""
    objective, optimizer = HeatmapObjective(), torch.optim.AdamW(adapter.parameters(), lr=1e-4)

    def step(cache: FeatureCache | None) -> float:
        start = time.process_time()
        optimizer.zero_grad(set_to_none=True)
        with contextlib.nullcontext(batch) if cache is None else cache.reading(batch) as own:
            loss = objective(base, own)
        loss.backward()
        optimizer.step()
        return time.process_time() - start

    return step


def main() -> None:
    """Prints a row for each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="vitpose-b")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.base}, batch {options.batch}: a step that reads its features, over one that computes them")
    for name, (method, given) in ROWS.items():
        base = lvtune.load_base(options.base, "random")
        adapter = lvtune.create_adapter(method, base, **given)
        height, width = base.input_size
        batch = {
            "pixel_values": torch.randn(options.batch, 3, height, width), "index": torch.arange(options.batch),
            "category": [None] * options.batch, "visible": torch.ones(options.batch, len(adapter.skeleton.keypoints)),
            "keypoints": torch.rand(options.batch, len(adapter.skeleton.keypoints), 2) * torch.tensor([width, height]),
        }  # fmt: skip
        cached, computed = [], []
        with tempfile.TemporaryDirectory() as folder, lvtune.attach(base, adapter):
            base.train()
            step = stepper(base, adapter, batch)
            size = {"count": options.batch, "views": 1, "most_bytes": 1e9}
            with FeatureCache(base, adapter, folder=Path(folder), **size) as cache:
                step(cache)
                for _ in range(options.repeats):
                    cached.append(step(cache))
                    computed.append(step(None))
        ratio = statistics.median(cached) / statistics.median(computed)
        print(f"  {name:32} {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
