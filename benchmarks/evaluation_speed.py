"""COCO's AP of 11,000 people against pycocotools' own evaluation, and decoding of heatmaps against a loop over persons.

    python benchmarks/evaluation_speed.py --people 11004 --repeats 3

People and predictions are drawn at random: 5,000 images with one to several people each (COCO val2017 has 11,004 in
2,346 images), two predictions a person, some of them far off. Both evaluations get the same results; everything is
timed in turns in one process, and only ratios count. `as a whole` includes rescoring and OKS-NMS, which are the same.
The loop decodes one heatmap after the other with numpy and cv2, as the published UDP and DARK code does.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lvtune.data.codec import UDPHeatmap
from lvtune.data.skeletons import COCO_17
from lvtune.evaluation.oks import coco_results, oks_ap
from lvtune.evaluation.oks_matching import KeypointEvaluation


def drawn(people: int, images: int = 5000) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A ground truth and predictions."""
    rng = np.random.default_rng(0)
    persons, predictions = [], []
    for number in range(1, people + 1):
        size, corner, image = float(rng.uniform(30, 300)), rng.uniform(0, 300, 2), int(rng.integers(1, images + 1))
        points, seen = corner + rng.uniform(0, size, (17, 2)), rng.choice([0, 2], 17, p=[0.3, 0.7])
        persons.append({
            "id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "num_keypoints": int((seen > 0).sum()),
            "bbox": [*corner.tolist(), size, size], "area": 0.5 * size * size,
            "keypoints": np.column_stack([points, seen]).ravel().tolist(),
        })  # fmt: skip
        for far in (0.02, 0.15):
            predictions.append({
                "image_id": image, "bbox": [*corner.tolist(), size, size], "bbox_score": float(rng.random()),
                "keypoints": points + rng.normal(0, far * size, (17, 2)), "keypoint_scores": rng.random(17),
            })  # fmt: skip
    truth = {"images": [{"id": i} for i in range(1, images + 1)], "annotations": persons, "categories": [{"id": 1}]}
    return truth, predictions


def score(kind: type, truth: dict[str, Any], results: list[dict[str, Any]]) -> float:
    """AP of results by one evaluation."""
    with contextlib.redirect_stdout(io.StringIO()):
        pair = [COCO(), COCO()]
        for one, notes in zip(pair, (truth["annotations"], results), strict=True):
            one.dataset = {**truth, "annotations": [dict(note) for note in notes]}
            one.createIndex()
        evaluation = kind(*pair, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(COCO_17.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def decode_one(heatmap: np.ndarray, width: int) -> np.ndarray:
    """A peak to a fraction of a pixel: blur, logarithm, one step of Newton's method."""
    height, length = heatmap.shape
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    padded = np.pad(heatmap, width // 2)
    smooth = cv2.GaussianBlur(padded, (width, width), 0)[width // 2 : -(width // 2), width // 2 : -(width // 2)]
    smooth = np.log(np.clip(smooth * (heatmap.max() / smooth.max()), 1e-3, 50.0))
    padded = np.pad(smooth, 1, mode="edge")
    v = padded[y : y + 3, x : x + 3]
    dx, dy = (v[1, 2] - v[1, 0]) / 2, (v[2, 1] - v[0, 1]) / 2
    dxx, dyy = v[1, 2] - 2 * v[1, 1] + v[1, 0], v[2, 1] - 2 * v[1, 1] + v[0, 1]
    dxy = (v[2, 2] - v[2, 0] - v[0, 2] + v[0, 0]) / 4
    step = np.linalg.pinv(np.array([[dxx, dxy], [dxy, dyy]])) @ np.array([dx, dy])
    return (np.array([x, y]) - step) / (length - 1, height - 1)


def loop(heatmaps: np.ndarray) -> np.ndarray:
    """Decodes person by person and point by point."""
    return np.array([[decode_one(one, 11) for one in person] for person in heatmaps])


def medians(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of processor time of each, in turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            found[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    """Prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=11_004)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    truth, predictions = drawn(options.people)
    results = coco_results(predictions, COCO_17)
    own, theirs = score(KeypointEvaluation, truth, results), score(COCOeval, truth, results)
    found = medians({
        "pycocotools": lambda: score(COCOeval, truth, results),
        "lvtune": lambda: score(KeypointEvaluation, truth, results),
        "as a whole": lambda: oks_ap(truth, predictions, COCO_17),
    }, options.repeats)  # fmt: skip
    print(f"{options.people} people, {len(results)} results: AP {own:.6f}, pycocotools {theirs:.6f}")
    ratio = found["pycocotools"] / found["lvtune"]
    print(f"  pycocotools {found['pycocotools']:.2f} s, lvtune {found['lvtune']:.2f} s: {ratio:.1f} x as fast")
    print(f"  with rescoring and OKS-NMS, which both need: {found['as a whole']:.2f} s")
    codec = UDPHeatmap(input_size=(256, 192), heatmap_size=(64, 48), sigma=2.0)
    points = torch.rand(64, 17, 2) * torch.tensor([190.0, 250.0])
    heatmaps = codec.encode(points, torch.ones(64, 17))[0]
    array = heatmaps.numpy()
    off = np.abs(loop(array) * (192, 256) - codec.decode(heatmaps)[0].numpy()).max()
    found = medians({"loop": lambda: loop(array), "lvtune": lambda: codec.decode(heatmaps)}, 5)
    print(f"decoding 64 people of 17 points: loop {1e3 * found['loop']:.0f} ms, lvtune {1e3 * found['lvtune']:.1f} ms: "
          f"{found['loop'] / found['lvtune']:.0f} x as fast; they differ by at most {off:.3f} px")  # fmt: skip


if __name__ == "__main__":
    main()
