"""What 3D error is worth on ``hand-figures``: of the mean pose, and of the nearest training picture's pose.

    python benchmarks/hand_baselines.py [TRAINING_PICTURES]

Prints EPE (mm, root at the origin, true size) on the test poses of the source setting, and each as a ratio to the mean
pose's. The nearest pictures are by skin against green (red less green) at 32x32 and by the true 2D joints, which is
more than any picture gives.
"""

from __future__ import annotations

import sys
import time

import cv2
import numpy as np

from lvtune.data.hand_frame import LEFT
from lvtune.domains import get_domain
from lvtune.recipe import DataOptions

SMALL = 32


def hands(split, count):
    """Relative joints in bones (N, 21, 3), scale (N,), 2D joints and small pictures (N, ...), all as right hands."""
    table = get_domain("hand-figures/green_screen").open(split, DataOptions(limit=count)).table
    left, size = table.column("side") == LEFT, table.column("width")[0]
    xyz, scale = table.column("xyz"), table.column("scale")
    relative = (xyz - xyz[:, :1]) / scale[:, None, None]
    points = table.column("keypoints")[..., :2].copy()
    relative[left, :, 0] *= -1
    points[left, :, 0] = size - 1 - points[left, :, 0]
    pictures = []
    for i in range(len(table)):
        red, green, _ = table.picture(i).astype(np.float32).transpose(2, 0, 1)
        skin = (red - green)[:, ::-1] if left[i] else red - green
        small = cv2.resize(skin, (SMALL, SMALL), interpolation=cv2.INTER_AREA).ravel()
        pictures.append((small - small.mean()) / small.std())
    return relative, scale, points.reshape(len(points), -1), np.stack(pictures)


def nearest(known, asked):
    """For each row of ``asked`` the row of ``known`` that is closest."""
    squares = (known**2).sum(1)
    return np.array([np.argmin(squares - 2 * known @ row) for row in asked])


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    started = time.perf_counter()
    relative, _, points, pictures = hands("train", count)
    truth, scale, test_points, test_pictures = hands("test", 500)

    def epe(found):
        return float(np.linalg.norm((found - truth) * scale[:, None, None], axis=-1).mean())

    mean = epe(relative.mean(0))
    rows = [
        ("mean pose", mean),
        ("nearest training picture, skin 32x32", epe(relative[nearest(pictures, test_pictures)])),
        ("nearest training pose by the true 2D joints", epe(relative[nearest(points, test_points)])),
    ]
    print(f"rendered hand figures, green screen: {count} training, {len(truth)} test hands")
    for name, value in rows:
        print(f"{name:45s} EPE {value:5.1f} mm  {value / mean:.2f} of the mean pose's")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
