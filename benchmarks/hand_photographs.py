"""Real pictures of hands: the labels of the FreiHAND and RHD samples, and the predictions of a network.

Draws a sheet with each sample and its labels. If you give a network, its predicted joints are next to them. The
pictures are too few for scores; the printed errors say so.

    python benchmarks/hand_photographs.py ../shared/data/samples --out hands.png
    python benchmarks/hand_photographs.py ../shared/data/samples --adapter lvtune-out/hand3d-vit-hand-figures-full

FOLDER holds ``freihand_2d/test_freihand.json`` and ``rhd_coco_style/test_rhd.json`` with their pictures, as MMPose
ships them.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np

import lvtune
from lvtune.bases.base import Base
from lvtune.config.options import DataOptions
from lvtune.domains import Split, get_domain
from lvtune.evaluation.hand_inference import Hands, predict_hands
from lvtune.viz.hand_overlay import draw_hand
from lvtune.viz.overlay import contact_sheet

SETS = {"freihand": "freihand_2d/test_freihand.json", "rhd": "rhd_coco_style/test_rhd.json"}


def opened(name: str, folder: Path) -> Split:
    """The samples of a data set, by its own reader."""
    file = folder / SETS[name]
    return get_domain(name).open("test", DataOptions(data=str(file.parent), annotations=str(file)))


def cut(image: np.ndarray, box: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture and points around a box, a quarter wider."""
    centre, half = box[:2] + box[2:] / 2, 0.625 * box[2:].max()
    low = np.maximum(np.floor(centre - half), 0).astype(int)
    high = np.ceil(centre + half).astype(int)
    return image[low[1] : high[1], low[0] : high[0]], points - low


def sheet(split: Split, found: Hands | None) -> tuple[list[list[np.ndarray]], list[list[str]]]:
    """Rows of pictures with their words."""
    rows, words = [], []
    for i, hand in enumerate(split.table):
        image, true = cut(split.picture(i), hand.bbox, hand.keypoints[:, :2])
        row, said = [draw_hand(image, true, longest=320)], [f"{hand.category} {hand.image_id}: labels"]
        if found is not None:
            _, points = cut(image, hand.bbox, found.keypoints[i])
            off = np.linalg.norm(found.keypoints[i] - hand.keypoints[:, :2], axis=-1).mean() / hand.bbox[2]
            row.append(draw_hand(image, points, longest=320))
            said.append(f"predicted: {100 * off:.0f} % of the crop off")
        rows.append(row)
        words.append(said)
    return rows, words


def run(folder: Path, out: Path, base: Base | None) -> None:
    """Draws the sheet and prints what was found."""
    cells: list[np.ndarray] = []
    said: list[str] = []
    for name in SETS:
        split = opened(name, folder)
        found = None if base is None else predict_hands(base, split, category=None)
        for row, words in zip(*sheet(split, found), strict=True):
            cells += row
            said += words
        note = "; ".join(split.table.notes)
        print(f"{split.name}: {len(split.table)} hands{f' ({note})' if note else ''}")
        if found is not None:
            off = np.linalg.norm(found.keypoints - split.table.column("keypoints")[..., :2], axis=-1)
            share = 100 * np.median(off / split.table.column("bbox")[:, 2:3])
            print(f"  2D joints are off by {share:.1f} % of the crop (median; too few pictures for a score)")
    across = 6
    rows = [cells[i : i + across] for i in range(0, len(cells), across)]
    captions = [said[i : i + across] for i in range(0, len(said), across)]
    image = contact_sheet(rows, captions, cell=240)
    if not cv2.imwrite(str(out), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise lvtune.LvtuneError(f"picture {out}", "a PNG or JPEG that can be written", "choose another --out")
    print(f"drawn: {out}")


def main() -> None:
    """Reads the options and runs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="samples; see the top of this file")
    parser.add_argument("--out", type=Path, default=Path("hands.png"))
    parser.add_argument("--base", help="such as hand3d-vit; the labels alone without")
    parser.add_argument("--weights", default="pretrained")
    parser.add_argument("--adapter", help="folder or Hub id, attached meanwhile")
    options = parser.parse_args()
    if options.base is None and options.adapter is None:
        run(options.folder, options.out, None)
        return
    base = lvtune.load_base(options.base or "hand3d-vit", options.weights)
    adapter = lvtune.load_adapter(options.adapter, base) if options.adapter else None
    with nullcontext() if adapter is None else lvtune.attach(base, adapter, name="shown"):
        run(options.folder, options.out, base)


if __name__ == "__main__":
    main()
