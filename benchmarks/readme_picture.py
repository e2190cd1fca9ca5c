"""The picture at the top of the README: filtered test photographs, base alone (left) and with an adapter (right).

    python benchmarks/readme_picture.py lvtune-out/vitpose-ti-demo-art-vlpose-light docs/before-after.png

For each of four styles it takes the picture on which the adapter brings most key points within 0.2 of the torso's
length. So the choice shows successes; the README says so.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

import lvtune
from lvtune.domains import get_domain
from lvtune.evaluation.split_scoring import score_split
from lvtune.viz.overlay import draw_pose

STYLES = ("sketch", "oil_painting", "watercolor", "cartoon")
HEIGHT, GAP, WIDER_GAP = 240, 6, 16


def within_reach(points: np.ndarray, truth: np.ndarray, torso: np.ndarray) -> np.ndarray:
    """(N,) how many labelled key points lie within 0.2 torsos of the truth (N, K, 3)."""
    far = np.linalg.norm(points - truth[..., :2], axis=-1)
    return ((far < 0.2 * torso[:, None]) & (truth[..., 2] > 0)).sum(1)


def main() -> None:
    """Writes the picture."""
    adapter, out = sys.argv[1:]
    base = lvtune.load_base("vitpose-ti")
    split = get_domain("demo-art").open("test")
    before = score_split(base, split)
    with lvtune.attach(base, lvtune.load_adapter(adapter, base)):
        after = score_split(base, split)
    truth = split.table.column("keypoints")
    left, right = (split.table.skeleton.keypoints.index(name) for name in ("left_shoulder", "right_hip"))
    torso = np.linalg.norm(truth[:, left, :2] - truth[:, right, :2], axis=-1)
    gained = within_reach(after.keypoints, truth, torso) - within_reach(before.keypoints, truth, torso)
    gained[(truth[:, [left, right], 2] == 0).any(1)] = -1
    styles = np.array([person.category for person in split.table])
    row = []
    for style in STYLES:
        i = int(np.where(styles == style, gained, -99).argmax())
        for scores, gap in ((before, GAP), (after, WIDER_GAP)):
            pose = (scores.keypoints[i], scores.scores[i], split.table.skeleton)
            drawn = draw_pose(split.picture(i), *pose, longest=420)
            width = round(drawn.shape[1] * HEIGHT / drawn.shape[0])
            row += [cv2.resize(drawn, (width, HEIGHT), interpolation=cv2.INTER_AREA), np.full((HEIGHT, gap, 3), 255)]
        print(f"{style}: {gained[i]} more key points within reach")
    cv2.imwrite(out, np.hstack(row[:-1]).astype(np.uint8)[:, :, ::-1])


if __name__ == "__main__":
    main()
