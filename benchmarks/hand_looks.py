"""How good the mean of several looks at a hand is, and how sure a base of hands is of pictures of other things.

    python benchmarks/hand_looks.py --folder COCO=REAL/coco-mini --folder mouse=REAL/openfield/labeled-data
    python benchmarks/hand_looks.py --write FOLDER     # right hands of `wild` as pictures, for `--unlabelled FOLDER`

Prints for 256 training pictures of `hand-figures` the error (EPE) of one, four and eight looks; then for 48 pictures of
each folder, and for as many black ones, the share of points that are sure (a peak of 0.5 or more, looks at most 2 % of
the height apart) and how far the looks' joints are apart in space. Nothing is tuned. Pictures of a folder are taken
whole, on a black square.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import lvtune
from lvtune.config.options import DataOptions
from lvtune.data.dataset import collate
from lvtune.data.hand_frame import normalise
from lvtune.data.hand_table import RIGHT
from lvtune.domains import get_domain
from lvtune.training.many_views import ManyViews, seen_in_many_views
from lvtune.training.second_pictures import answer_of

ENDINGS = (".jpg", ".jpeg", ".png")


def figures(category: str, count: int) -> Any:
    """Training pictures of one setting."""
    return get_domain(f"hand-figures/{category}").open("train", DataOptions(limit=count))


def errors(base: Any, category: str, count: int) -> None:
    """Prints the EPE by the number of looks."""
    split = figures(category, count)
    data: Any = split.samples(split.table, input_size=base.input_size, mean=base.mean, std=base.std)
    found: dict[str, list[torch.Tensor]] = {"one look": [], "four": [], "eight": []}
    for begin in range(0, count, 64):
        batch = {**collate([data[i] for i in range(begin, min(count, begin + 64))])}
        batch["category"] = [None] * len(batch["pixel_values"])
        truth, scale = normalise(batch["xyz"].float(), batch["scale"].float())
        with torch.no_grad():
            joints = [answer_of(base, batch).joints]
        joints += [seen_in_many_views(base, batch, base.skeleton, looks).joints for looks in (4, 8)]
        for name, one in zip(found, joints, strict=True):
            assert one is not None
            found[name].append((one - truth).norm(dim=-1).mean(-1) * scale)
    print(f"{category}: EPE in mm " + ", ".join(f"{name} {torch.cat(v).mean():.1f}" for name, v in found.items()))


def whole(path: Path, side: int) -> np.ndarray:
    """A picture (side, side, 3) RGB, on a black square."""
    read: Any = cv2.imread(str(path))
    image = read[..., ::-1]
    factor = side / max(image.shape[:2])
    width, height = (max(1, round(length * factor)) for length in image.shape[1::-1])
    found = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    found[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return found


def looked_at(base: Any, pictures: list[np.ndarray]) -> ManyViews:
    """Four looks at pictures of the network's size."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (base.mean, base.std))
    pixels = torch.stack([torch.from_numpy(one.transpose(2, 0, 1) / 255.0).float() for one in pictures])
    batch = {"pixel_values": (pixels - mean) / std, "category": [None] * len(pictures)}
    return seen_in_many_views(base, batch, base.skeleton, 4)


def pool(base: Any, name: str, pictures: list[np.ndarray]) -> None:
    """Prints how sure the base is of them."""
    seen = looked_at(base, pictures)
    assert seen.joints_apart is not None
    sure = ((seen.peak >= 0.5) & (seen.apart <= 0.02)).float().mean()
    print(f"{name}: {len(pictures)} pictures, {sure:.1%} of the points sure, {seen.joints_apart.mean():.2f} apart")


def main() -> None:
    """Reads the options and prints."""
    parser = argparse.ArgumentParser(description="Looks at hands in several ways.")
    parser.add_argument("--folder", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--count", type=int, default=256, help="training pictures whose error is measured")
    parser.add_argument("--write", type=Path, help="folder for right hands of the first 1,200 pictures of `wild`")
    options = parser.parse_args()
    if options.write is not None:
        options.write.mkdir(parents=True, exist_ok=True)
        table: Any = figures("wild", 1200).table
        right = [i for i in range(len(table)) if table[i].side == RIGHT]
        for i in right:
            cv2.imwrite(str(options.write / f"{i:05d}.png"), table.picture(i)[..., ::-1])
        print(f"{len(right)} pictures in {options.write}")
        return
    base = lvtune.load_base("hand3d-vit")
    side = max(base.input_size)
    for category in ("wild", "green_screen"):
        errors(base, category, options.count)
    for category in ("wild", "green_screen"):
        table = figures(category, 48).table
        pool(base, category, [table.picture(i) for i in range(48)])
    for name, folder in (given.split("=", 1) for given in options.folder):
        files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in ENDINGS)
        pool(base, name, [whole(path, side) for path in files[:: max(1, len(files) // 48)][:48]])
    pool(base, "black", [np.zeros((side, side, 3), np.uint8)] * 48)


if __name__ == "__main__":
    main()
