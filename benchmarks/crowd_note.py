"""How often `predict --find whole` notices several persons in a picture, and how often it is wrong.

    python benchmarks/crowd_note.py --coco COCO_MINI --lspet LSPET [--count 100]

One person: pictures of COCO-mini with one annotated person, and test photographs of LSPET. Several: pictures of
COCO-mini with two annotated persons or more, and two photographs of LSPET next to each other. Prints the share of
pictures with a note for several thresholds. The star marks lvtune's threshold.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

import lvtune
from lvtune.data.images import read_image
from lvtune.prediction import crowd
from lvtune.prediction.finder import Finder


def coco(folder: Path) -> tuple[list, list]:
    """Pictures with one and with several annotated persons."""
    truth = json.loads((folder / "annotations.json").read_text())
    count = Counter(one["image_id"] for one in truth["annotations"])
    pictures = {one["id"]: folder / "images" / one["file_name"] for one in truth["images"]}
    some = {number: read_image(pictures[number]) for number in count}
    one = [image for number, image in some.items() if count[number] == 1]
    return one, [image for number, image in some.items() if count[number] > 1]


def lspet(folder: Path, count: int) -> tuple[list, list]:
    """Photographs, and pairs of them side by side at one height."""
    truth = json.loads((folder / "annotations" / "test.json").read_text())
    known = {file.name: file for file in sorted(folder.rglob("*.jpg"))}
    images = [read_image(known[Path(one["file_name"]).name]) for one in truth["images"][:count]]
    same = [cv2.resize(image, (round(256 * image.shape[1] / image.shape[0]), 256)) for image in images]
    return images, [np.concatenate([a, b], 1) for a, b in zip(same, same[1:] + same[:1], strict=True)]


class Ask(Finder):
    """Notes the scores that :func:`lvtune.prediction.crowd.shows_several` compares."""

    def find(self, frames, look):
        """Finds nothing."""
        self.scores = getattr(self, "scores", [])
        keep = lambda some, boxes: self.poses(look(some, boxes))  # noqa: E731
        crowd.shows_several(frames, keep)
        return [crowd.Found.nothing() for _ in frames]

    def poses(self, found):
        """Notes the scores of each frame."""
        self.scores += [crowd.second_score(poses) for poses in found]
        return found


def main() -> None:
    """Prints the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--lspet", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--base", default="vitpose-ti")
    args = parser.parse_args()
    base = lvtune.load_base(args.base)
    (one, several), (single, pairs) = coco(args.coco), lspet(args.lspet, args.count)
    names = {"COCO, one": one, "LSPET, one": single, "COCO, several": several, "LSPET, side by side": pairs}
    scores = {}
    for name, images in names.items():
        ask = Ask()
        lvtune.predict(images, base=base, find=ask)
        scores[name] = np.array(ask.scores)
    print("ratio   " + "  ".join(f"{name} ({len(images)})" for name, images in names.items()))
    for ratio in (0.5, 0.6, 0.7, 0.8, 0.9):
        noted = [found[:, 1] >= np.maximum(crowd.LEAST, ratio * found[:, 0]) for found in scores.values()]
        star = "*" if ratio == crowd.RATIO else " "
        print(f"{ratio}{star}    " + "  ".join(f"{100 * share.mean():5.1f} %" for share in noted))


if __name__ == "__main__":
    main()
