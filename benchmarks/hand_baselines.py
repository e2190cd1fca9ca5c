"""What 3D error hand-figures has without a network: the mean training pose, and nearest neighbours among them.

Each baseline answers in the true size, like a network whose output is multiplied by the true scale, and is scored by
the same function (EPE ``root_gtscale``). Rendered figures, not photographs.

- mean pose: the mean over training hands of the joints relative to joint 0, in lengths of the reference bone;
- nearest picture: the pose of the training picture that is nearest in 16x16 colours; sees what a network sees;
- nearest 2D joints: the pose of the training hand whose 2D joints, centred and brought to one size, are nearest to the
  TRUE 2D joints, which no network is told;
- nearest pose: the training pose nearest to the truth itself, which no look-up among training poses can beat.

    python benchmarks/hand_baselines.py            # about a minute on one core
    python benchmarks/hand_baselines.py --pictures 0 --json
"""

from __future__ import annotations

import argparse
import json

import cv2
import numpy as np

from lvtune.data.hands import LEFT, HandTable
from lvtune.domains import get_domain
from lvtune.evaluation.epe import HandResult
from lvtune.evaluation.hand_scores import score_hands

SIDE = 16


def poses(table: HandTable) -> tuple[np.ndarray, np.ndarray]:
    """Relative joints (N, 63) of all hands shown as right ones, and centred 2D joints (N, 42) of size one."""
    mirror = np.where(table.column("side") == LEFT, -1.0, 1.0)[:, None]
    xyz = (table.column("xyz") - table.column("xyz")[:, :1]) / table.column("scale")[:, None, None]
    flat = table.column("keypoints")[..., :2] - table.column("keypoints")[..., :2].mean(1, keepdims=True)
    flat /= np.sqrt((flat**2).sum((1, 2), keepdims=True))
    for points in (xyz, flat):
        points[..., 0] *= mirror
    return xyz.reshape(len(xyz), -1), flat.reshape(len(flat), -1)


def colours(table: HandTable, count: int) -> np.ndarray:
    """(count, 16 * 16 * 3) of the first pictures, left hands mirrored."""
    rows = []
    for i in range(count):
        small = cv2.resize(table.picture(i), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        rows.append(small[:, ::-1] if table.column("side")[i] == LEFT else small)
    return np.stack(rows).reshape(count, -1).astype(np.float32)


def nearest(asked: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(N, D), (M, D) -> (N,) row of ``known`` at the least distance."""
    distance = (known**2).sum(1) - 2 * asked @ known.T
    return distance.argmin(1)


def epe(predicted: np.ndarray, truth: np.ndarray, scale: np.ndarray) -> dict[str, float]:
    """Scores of relative joints (N, 63) against the same."""
    joints = truth.reshape(len(truth), 21, 3) * scale[:, None, None]
    found = score_hands(HandResult(joints, predicted.reshape(joints.shape), scale))
    aligned = found["variants"]["procrustes"]["epe"]
    return {"epe": found["epe"], "auc": 100 * found["auc"], "epe_procrustes": aligned}


def run(pictures: int, domain: str) -> dict[str, dict[str, float]]:
    """EPE of each baseline on the test part of ``domain``."""
    opened = get_domain(domain)
    train, test = (opened.open(part).table for part in ("train", "test"))
    (known, known_flat), (truth, flat) = poses(train), poses(test)
    scale = test.column("scale")
    found = {"mean pose": epe(np.broadcast_to(known.mean(0), truth.shape), truth, scale)}
    if pictures:
        rows = nearest(colours(test, len(test)), colours(train, min(pictures, len(train))))
        found[f"nearest of {pictures} pictures"] = epe(known[rows], truth, scale)
    found["nearest true 2D joints"] = epe(known[nearest(flat, known_flat)], truth, scale)
    found["nearest pose (no look-up is better)"] = epe(known[nearest(truth, known)], truth, scale)
    return found


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--pictures", type=int, default=5000, help="training pictures to compare with; 0: none")
    parser.add_argument("--domain", default="hand-figures/green_screen")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = run(options.pictures, options.domain)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{options.domain}, rendered figures, {len(get_domain(options.domain).open('test').table)} test hands")
    print(f"{'':38}{'EPE mm':>8}{'AUC 0-50':>10}{'aligned mm':>12}")
    for name, scores in found.items():
        print(f"{name:38}{scores['epe']:8.2f}{scores['auc']:10.1f}{scores['epe_procrustes']:12.2f}")


if __name__ == "__main__":
    main()
