"""3D error on ``hand-figures`` of ``hand3d-vit``, of the mean pose and of look-ups in the training poses.

    python benchmarks/hand_baselines.py [TRAINING_HANDS] [TEST_HANDS] [PICTURES]

Prints EPE (mm, root at the origin, true size), plain and aligned, on the test poses of the source setting, and each as
a ratio to the mean pose's. A look-up takes the nearest training hand, by one of these:

- the picture (skin against green, red less green, at 32x32), among the first PICTURES training hands, because each must
  be drawn;
- the 2D joints that the estimator predicts;
- the true 2D joints, or the 3D pose itself: both know more than any picture shows.

2D joints are compared from the root and at one size; this finds nearer poses than their places in the picture do. The
look-ups by joints need no training pictures, because the true 2D joints of training hands are known. Another row turns
the mean shape as the estimator turns the hand. It shows what the estimator's fingers are worth.
"""

from __future__ import annotations

import sys
import time

import cv2
import numpy as np
import torch

import lvtune
from lvtune.config.options import DataOptions
from lvtune.data.hand_frame import LEFT, RIGHT, from_canonical, to_canonical
from lvtune.data.hand_table import HandTable
from lvtune.domains import get_domain
from lvtune.evaluation.hand_inference import predict_hands
from lvtune.evaluation.procrustes import align

SMALL = 32


def opened(split, count):
    """The first figures of a part of the source."""
    return get_domain("hand-figures/green_screen").open(split, DataOptions(limit=count))


def as_right(table: HandTable, points):
    """Key points (N, 21, 2) of the table's hands as (N, 42), from the root, of one size, left hands mirrored."""
    points = points.astype(float)
    points[table.column("side") == LEFT, :, 0] *= -1
    points -= points[:, :1]
    points /= np.sqrt((points**2).mean((1, 2), keepdims=True))
    return points.reshape(len(points), -1)


def in_bones(table: HandTable):
    """Joints (N, 21, 3) relative to the root in lengths of the bone, as right hands."""
    xyz, scale = table.column("xyz"), table.column("scale")
    relative = (xyz - xyz[:, :1]) / scale[:, None, None]
    relative[table.column("side") == LEFT, :, 0] *= -1
    return relative


def pictures(table: HandTable, count):
    """The first pictures, small (N, 1024), as of right hands."""
    left, found = table.column("side") == LEFT, []
    for i in range(count):
        red, green, _ = table.picture(i).astype(np.float32).transpose(2, 0, 1)
        skin = (red - green)[:, ::-1] if left[i] else red - green
        small = cv2.resize(skin, (SMALL, SMALL), interpolation=cv2.INTER_AREA).ravel()
        found.append((small - small.mean()) / small.std())
    return np.stack(found)


def nearest(known, asked):
    """For each row of ``asked`` the row of ``known`` that is closest."""
    squares = (known**2).sum(1)
    return np.array([np.argmin(squares - 2 * known @ row) for row in asked])


def mean_shape(known, found):
    """The mean canonical hand of ``known``, turned as each hand of ``found`` is; both (N, 21, 3), right hands."""
    sides = lambda hands: torch.full((len(hands),), RIGHT)  # noqa: E731
    shapes, _ = to_canonical(torch.from_numpy(known), sides(known))
    _, turns = to_canonical(torch.from_numpy(found).double(), sides(found))
    return from_canonical(shapes.mean(0).expand(len(found), -1, -1), turns, sides(found)).numpy()


def main():
    count, asked, drawn = (int(sys.argv[i]) if len(sys.argv) > i else n for i, n in ((1, 20000), (2, 500), (3, 4000)))
    started, drawn = time.perf_counter(), min(count, drawn)
    train, test = opened("train", count).table, opened("test", asked)
    known, truth, scale = in_bones(train), in_bones(test.table), test.table.column("scale")[:, None, None]
    hands = predict_hands(lvtune.load_base("hand3d-vit"), test, category=None)
    own = hands.xyz.copy()
    own[test.table.column("side") == LEFT, :, 0] *= -1
    points = as_right(train, train.column("keypoints")[..., :2])
    true_points = test.table.column("keypoints")[..., :2]
    found = {
        "hand3d-vit": own,
        "mean shape, turned as hand3d-vit finds": mean_shape(known, own),
        "mean pose": np.broadcast_to(known.mean(0), truth.shape),
        f"nearest of {drawn} training pictures": known[nearest(pictures(train, drawn), pictures(test.table, asked))],
        "nearest pose by the 2D joints hand3d-vit finds": known[nearest(points, as_right(test.table, hands.keypoints))],
        "nearest pose by the true 2D joints": known[nearest(points, as_right(test.table, true_points))],
        "nearest pose by the true pose in space": known[nearest(*(x.reshape(len(x), -1) for x in (known, truth)))],
    }
    print(f"rendered hand figures, green screen: {count} training, {asked} test hands")
    off = np.linalg.norm(hands.keypoints - true_points, axis=-1)
    print(f"2D joints of hand3d-vit: {np.median(off):.1f} px of {test.table.column('width')[0]} off (median)")
    rows = {name: tuple(np.linalg.norm((p - truth) * scale, axis=-1).mean() for p in (pose, align(pose, truth)))
            for name, pose in found.items()}  # fmt: skip
    mean = rows["mean pose"][0]
    for name, (plain, aligned) in rows.items():
        print(f"{name:48s} EPE {plain:5.1f} mm  {plain / mean:.2f} of the mean pose's  aligned {aligned:5.1f} mm")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
