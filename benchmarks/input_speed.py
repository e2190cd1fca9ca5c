"""Pictures a second and core of the input pipeline, beside a plain one of cv2 and numpy that does the same work.

    python benchmarks/input_speed.py IMAGES ANNOTATIONS.json --people 200

Both read the picture, cut a crop with a random rotation, scale and flip out of it in one warp, and normalise it. The
plain one is written as people write it: cv2.imread, one warpAffine, a subtraction and a division in float32. They run
in turns in one process; `again` is an epoch in which lvtune has the decoded pictures in memory.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from lvtune.data.augment import Augment
from lvtune.data.dataset import PoseDataset
from lvtune.data.table import read_coco

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def plain(table: Any, size: tuple[int, int], rng: np.random.Generator) -> Callable[[int], Any]:
    """One sample of a plain pipeline."""
    height, width = size

    def sample(item: int) -> tuple[np.ndarray, np.ndarray]:
        person = table[item]
        image = cv2.cvtColor(cv2.imread(str(table.root / person.image)), cv2.COLOR_BGR2RGB)
        left, top, w, h = (float(v) for v in person.bbox)
        scale = 1.25 * max(w / width, h / height) * rng.uniform(0.95, 1.05)
        matrix = cv2.getRotationMatrix2D((left + w / 2, top + h / 2), rng.uniform(-10, 10), 1 / scale)
        matrix[:, 2] += np.array([width / 2, height / 2]) - (left + w / 2, top + h / 2)
        crop = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
        points = person.keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        if rng.random() < 0.5:
            crop, points = crop[:, ::-1], points * (-1, 1) + (width - 1, 0)
        return np.ascontiguousarray(((crop.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)), points

    return sample


def main() -> None:
    """Prints pictures a second and core, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images")
    parser.add_argument("annotations")
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(0)
    table = read_coco(options.annotations, options.images)
    count, size = min(options.people, len(table)), (256, 192)
    augment = Augment(half_body=0.0, shift_p=0.0, scale=(0.95, 1.05), rotate=10.0)
    given = {"input_size": size, "mean": MEAN, "std": STD, "augment": augment}
    reading, holding = PoseDataset(table, **given), PoseDataset(table, **given, cache=True)
    calls = {
        "plain": plain(table, size, np.random.default_rng(0)),
        "lvtune": reading.__getitem__,
        "lvtune, again": holding.__getitem__,
    }
    for item in range(count):
        holding[item]
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.repeats):
        for name, call in calls.items():
            start = time.process_time()
            for item in range(count):
                call(item)
            found[name].append(count / (time.process_time() - start))
    rates = {name: statistics.median(values) for name, values in found.items()}
    for name, rate in rates.items():
        print(f"{name:14} {rate:7.0f} pictures a second and core: {rate / rates['plain']:.2f} x plain")


if __name__ == "__main__":
    main()
