"""Tuning with features that were computed before, over tuning that computes them: a step, and whole epochs.

    python benchmarks/cached_features.py --base vitpose-b --batch 8 --repeats 3

A step: random weights and pictures, the heatmap loss, the loop's own optimiser; in turns in one process. An epoch: the
tuning loop on 48 persons in JPEG pictures of 640 x 480, three epochs without kept features and three with one view of
each picture; the last epochs are compared, pictures read and cut out included where they are read. All times are
processor time.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import lvtune
from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.data.augment import Augment
from lvtune.data.dataset import PoseDataset
from lvtune.training.feature_cache import FeatureCache
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.optim import make_optimizer, param_groups

ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "head": ("head", {}),
    "head, the predictor alone": ("head", {"part": "predictor"}),
    "vlpose --method.placement none": ("vlpose", {"placement": "none", "domain": "demo-art"}),
    "last-blocks, the last 2": ("last-blocks", {"blocks": 2}),
}


def stepper(base: Any, adapter: Any, batch: dict[str, Any]) -> Callable[[Any], float]:
    """A tuning step that takes processor seconds; given a cache, its features are read."""
    objective, optimizer = HeatmapObjective(), make_optimizer(param_groups(adapter, 0.1), 1e-4)

    def step(cache: FeatureCache | None) -> float:
        start = time.process_time()
        optimizer.zero_grad(set_to_none=True)
        with contextlib.nullcontext(batch) if cache is None else cache.reading(batch) as own:
            loss = objective(base, own)
        loss.backward()
        optimizer.step()
        return time.process_time() - start

    return step


def step_ratio(base: Any, adapter: Any, size: int, repeats: int) -> float:
    """Time of a step that reads its features, over one that computes them."""
    height, width = base.input_size
    points = len(adapter.skeleton.keypoints)
    batch = {
        "pixel_values": torch.randn(size, 3, height, width), "index": torch.arange(size), "category": [None] * size,
        "visible": torch.ones(size, points), "keypoints": torch.rand(size, points, 2) * torch.tensor([width, height]),
    }  # fmt: skip
    cached, computed = [], []
    with tempfile.TemporaryDirectory() as folder, lvtune.attach(base, adapter):
        base.train()
        step = stepper(base, adapter, batch)
        with FeatureCache(base, adapter, folder=Path(folder), count=size, views=1, most_bytes=1e9) as cache:
            step(cache)
            for _ in range(repeats):
                cached.append(step(cache))
                computed.append(step(None))
    return statistics.median(cached) / statistics.median(computed)


@dataclass
class Person:
    """One person in a picture of its own."""

    index: int
    image: str
    bbox: np.ndarray
    keypoints: np.ndarray
    category: str


class Persons:
    """A table of persons whose pictures are drawn at random and written as JPEG."""

    fingerprint = "drawn"

    def __init__(self, root: Path, count: int, adapter: Any) -> None:
        bank = getattr(adapter, "bank", None)
        category = "photo" if bank is None else bank.categories[0]
        self.root, self.skeleton, rng = root, adapter.skeleton, np.random.default_rng(0)
        number = len(self.skeleton.keypoints)
        for place in range(count):
            noise = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
            cv2.imwrite(str(root / f"{place}.jpg"), cv2.GaussianBlur(noise, (0, 0), 3))
        points = np.concatenate([rng.uniform(100, 380, (count, number, 2)), np.full((count, number, 1), 2.0)], 2)
        box = np.array([100.0, 100, 280, 280])
        self._all = [Person(i, f"{i}.jpg", box, points[i], category) for i in range(count)]

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: int) -> Person:
        return self._all[index]


class Timed(PoseDataset):
    """Notes the processor time at which epochs begin."""

    def set_epoch(self, epoch: int) -> None:
        """As usual, and looks at the clock."""
        super().set_epoch(epoch)
        vars(self).setdefault("began", []).append(time.process_time())


def last_epoch(base: Any, adapter: Any, table: Any, size: int, views: int) -> float:
    """Time of the last of three epochs."""
    given = {"input_size": base.input_size, "mean": base.mean, "std": base.std, "augment": Augment()}
    data = Timed(table, **given)
    options = TrainOptions(epochs=3.0, batch_size=size, precision="no", cached_views=views, keep_features=False)
    train = Recipe(train=options).resolved().train
    tune(base, adapter, data, HeatmapObjective(), train, device="cpu")
    return time.process_time() - vars(data)["began"][-1]


def main() -> None:
    """Prints a row for each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="vitpose-b")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--people", type=int, default=48, help="of the epochs; 0: no epochs")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(0)
    print(f"{options.base}, batch {options.batch}: with kept features, over computing them: a step; an epoch")
    for name, (method, given) in ROWS.items():
        base = lvtune.load_base(options.base, "random")
        adapter = lvtune.create_adapter(method, base, **given)
        ratio = step_ratio(base, adapter, options.batch, options.repeats)
        print(f"  {name:32} {ratio:.3f}", end="", flush=True)
        if options.people:
            with tempfile.TemporaryDirectory() as folder:
                table = Persons(Path(folder), options.people, adapter)
                with_, without = (last_epoch(base, adapter, table, options.batch, views) for views in (1, 0))
            print(f"  {with_ / without:.3f}", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
