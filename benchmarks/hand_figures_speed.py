"""Speed at which hand-figures draws its pictures, compared with decoding and cropping a photograph of a hand.

One thread; process time, so other work on the machine has little effect.

    python benchmarks/hand_figures_speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2

from lvtune.data.crop import udp_matrix, warp
from lvtune.data.images import read_image
from lvtune.domains.hand_figures.figure_table import Figures
from lvtune.domains.hand_figures.settings import SETTINGS

PHOTO = Path(__file__).parents[1] / "tests/samples/freihand_2d/00000355.jpg"


def rate(draw: Callable[[int], object], count: int) -> float:
    """Pictures a second of process time."""
    draw(0)
    started = time.process_time()
    for i in range(count):
        draw(i)
    return count / (time.process_time() - started)


def main() -> None:
    """Prints a table."""
    cv2.setNumThreads(1)
    print(f"{'pictures a second':>20}{'128x128':>10}{'256x256':>10}")
    photo = {}
    for size in (128, 256):
        matrix = udp_matrix([112, 112], [160, 160], 0.0, (size, size))
        photo[size] = rate(lambda _, m=matrix, s=size: warp(read_image(PHOTO), m, (s, s)), 300)
    for name in SETTINGS:
        found = [rate(Figures(400, "train", (name,), size), 400 if size == 128 else 100) for size in (128, 256)]
        print(f"{name:>20}{found[0]:10.0f}{found[1]:10.0f}")
    print(f"{'a JPEG of 224x224':>20}{photo[128]:10.0f}{photo[256]:10.0f}   decoded and cropped")


if __name__ == "__main__":
    main()
