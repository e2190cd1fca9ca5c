"""COCO's AP of 11,000 people against pycocotools' own evaluation, and decoding of heatmaps against a loop over persons.

    python benchmarks/evaluation_speed.py --people 11004 --repeats 5

People and predictions are drawn at random: 5,000 images with none to several people each (COCO val2017 has 11,004 in
2,346 images), two predictions a person, some of them far off. Every row starts at the content of an annotation file and
the same list of COCO results, and ends at the ten numbers; pycocotools' time includes its index and `loadRes`. `as a
whole` starts at predictions and includes rescoring and OKS-NMS. Where faster-coco-eval is installed it has a row too.
The loop over persons decodes as mmpose's UDP and DARK code does: OpenCV blurs each map, numpy does the rest for all
points of a person at once. `--mmpose FOLDER`, a copy of mmpose's sources, adds the loop with mmpose's own functions (of
`mmpose/codecs/utils`, which need numpy, OpenCV and torch alone). Everything is timed in turns in one process, in
processor time, and only ratios count.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import statistics
import sys
import time
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lvtune.data.codec import UDPHeatmap
from lvtune.data.skeletons import COCO_17
from lvtune.evaluation.average_precision import summary
from lvtune.evaluation.oks import coco_results, oks_ap
from lvtune.evaluation.oks_matching import match
from lvtune.evaluation.oks_pairs import Found, persons_of

SIGMAS, WIDTH = np.array(COCO_17.sigmas), 11


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


def peer(truth: dict[str, Any], results: list[dict[str, Any]], coco: Any = COCO, evaluation: Any = COCOeval) -> list:
    """The ten numbers by pycocotools, or by a package with its classes."""
    with contextlib.redirect_stdout(io.StringIO()):
        own = coco()
        own.dataset = {**truth, "annotations": [dict(note) for note in truth["annotations"]]}
        own.createIndex()
        one = evaluation(own, own.loadRes([dict(result) for result in results]), "keypoints")
        one.params.kpt_oks_sigmas = SIGMAS
        one.evaluate()
        one.accumulate()
        one.summarize()
    return [float(value) for value in one.stats][:10]


def ours(truth: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    """The same from the same."""
    image, score = (np.array([result[name] for result in results]) for name in ("image_id", "score"))
    points = np.array([result["keypoints"] for result in results]).reshape(-1, 17, 3)[..., :2]
    order = np.lexsort((-score, image))
    extent = np.ptp(points, axis=1)
    found = Found(image[order], points[order], (extent[:, 0] * extent[:, 1])[order], score[order])
    return summary(match(found, persons_of(truth["annotations"], 17), SIGMAS)).tolist()


def decode_person(maps: np.ndarray) -> np.ndarray:
    """Peaks (K, 2) of one person's maps (K, h, w): blur, logarithm, one step of Newton's method."""
    count, height, length = maps.shape
    place = maps.reshape(count, -1).argmax(1)
    x, y, reach = place % length, place // length, WIDTH // 2
    smooth = np.empty_like(maps)
    for k in range(count):
        room = np.zeros((height + 2 * reach, length + 2 * reach), np.float32)
        room[reach:-reach, reach:-reach] = maps[k]
        blurred = cv2.GaussianBlur(room, (WIDTH, WIDTH), 0)[reach:-reach, reach:-reach]
        smooth[k] = blurred * (maps[k].max() / blurred.max())
    logs = np.pad(np.log(np.clip(smooth, 1e-3, 50.0)), ((0, 0), (1, 1), (1, 1)), mode="edge").ravel()
    row = length + 2
    at = np.arange(count) * (height + 2) * row + (y + 1) * row + x + 1
    here, right, left, below, above, corner, opposite = (logs[at + i] for i in (0, 1, -1, row, -row, row + 1, -row - 1))
    dxx, dyy = right - 2 * here + left, below - 2 * here + above
    dxy = (corner - right - below + 2 * here - left - above + opposite) / 2
    hessian = np.stack([dxx, dxy, dxy, dyy], 1).reshape(-1, 2, 2) + np.finfo(np.float32).eps * np.eye(2)
    slope = np.stack([right - left, below - above], 1) / 2
    step = np.einsum("kij,kj->ki", np.linalg.inv(hessian), slope)
    return (np.stack([x, y], 1) - step) / (length - 1, height - 1)


def mmpose_person(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """mmpose's own functions, called as its `UDPHeatmap.decode` calls them for one person."""
    package = types.ModuleType("mmpose_utils")  # its own __init__ files import all of mmpose
    package.__path__ = [str(folder / "mmpose" / "codecs" / "utils")]
    sys.modules["mmpose_utils"] = package
    highest = importlib.import_module("mmpose_utils.post_processing").get_heatmap_maximum
    refine = importlib.import_module("mmpose_utils.refinement").refine_keypoints_dark_udp

    def decode(maps: np.ndarray) -> np.ndarray:
        maps = maps.copy()
        return refine(highest(maps)[0][None], maps, blur_kernel_size=WIDTH)[0] / (maps.shape[2] - 1, maps.shape[1] - 1)

    return decode


def heatmaps_of(people: int, clutter: float) -> torch.Tensor:
    """Maps of ``people`` persons: peaks of all heights on noise, a share of them with a second peak nearly as high."""
    random = torch.Generator().manual_seed(0)
    points = torch.rand(people, 17, 2, generator=random) * torch.tensor([190.0, 250.0])
    maps = UDPHeatmap().encode(points, torch.ones(people, 17))[0]
    second = torch.rand(people, 17, 1, 1, generator=random) < clutter
    maps = maps + 0.7 * second * maps.roll(20, -1)
    noise = 0.01 * torch.rand(maps.shape, generator=random)
    return maps * (0.3 + 0.7 * torch.rand(people, 17, 1, 1, generator=random)) + noise


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
    parser.add_argument("--mmpose", type=Path, help="folder with mmpose's sources, whose decoder is a row then")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    score_people(options.people, options.repeats)
    peers: dict[str, Callable[[np.ndarray], np.ndarray]] = {"a loop": decode_person}
    if options.mmpose is not None:
        peers["mmpose's own"] = mmpose_person(options.mmpose)
    decode_people(options.repeats, peers)


def score_people(people: int, repeats: int) -> None:
    """Prints how long scoring takes."""
    truth, predictions = drawn(people)
    results = coco_results(predictions, COCO_17)
    calls: dict[str, Callable[[], Sequence[float]]] = {
        "pycocotools": lambda: peer(truth, results),
        "lvtune": lambda: ours(truth, results),
        "as a whole": lambda: list(oks_ap(truth, predictions, COCO_17).values()),
    }
    if importlib.util.find_spec("faster_coco_eval"):
        import faster_coco_eval as fast

        calls["faster-coco-eval"] = lambda: peer(truth, results, fast.COCO, fast.COCOeval_faster)
    print(f"{people} people, {len(results)} results: AP and the largest difference of the ten numbers to pycocotools'")
    wanted, found = np.array(calls["pycocotools"]()), medians(calls, repeats)
    for name, call in calls.items():
        stats, ratio = np.array(call()), found["pycocotools"] / found[name]
        off = np.abs(stats - wanted).max()
        print(f"  {name:18} {found[name]:.3f} s, {ratio:4.1f} x as fast, AP {stats[0]:.6f}, {off:.1g}", flush=True)


def decode_people(repeats: int, peers: dict[str, Callable[[np.ndarray], np.ndarray]]) -> None:
    """Prints how long decoding takes, beside loops over persons."""
    print("decoding: persons at once, share of maps with two peaks, lvtune, loops over persons")
    codec = UDPHeatmap(input_size=(256, 192), heatmap_size=(64, 48), sigma=2.0, blur_kernel=WIDTH)
    for people, clutter in ((1, 0.0), (8, 0.0), (32, 0.0), (64, 0.0), (256, 0.0), (64, 0.2), (64, 1.0)):
        heatmaps = heatmaps_of(people, clutter)
        array, wanted = heatmaps.numpy(), codec.decode(heatmaps)[0].numpy()
        calls: dict[str, Callable[[], Any]] = {"lvtune": lambda maps=heatmaps: codec.decode(maps)}
        for name, one in peers.items():
            calls[name] = lambda array=array, one=one: np.array([one(person) for person in array])
        found = medians(calls, 3 * repeats)
        text = f"  {people:4} {clutter:4.0%} {1e3 * found['lvtune']:7.2f} ms"
        for name in peers:
            off = np.abs(calls[name]() * (192, 256) - wanted).max()
            text += f"; {name} {1e3 * found[name]:7.2f} ms: {found[name] / found['lvtune']:4.1f} x as fast"
            text += f", off {off:.3f} px"
        print(text, flush=True)


if __name__ == "__main__":
    main()
