"""One small set of labels, written in the layout of each tool: what every reader has to give back."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

NAMES = ("snout", "leftear", "rightear", "tailbase")  # not in the order of the alphabet
LINKS = ((0, 1), (0, 2), (0, 3))
FLIP = (0, 2, 1, 3)
WIDTH, HEIGHT = 96, 64
PICTURES = ("v1/img01.png", "v1/img02.png", "v2/img01.png", "v2/img07.png")


@dataclass(frozen=True)
class Animal:
    """One labelled animal: x, y, visibility of each key point (0 not labelled)."""

    picture: str
    individual: str
    points: tuple[tuple[float, float, int], ...]
    box: tuple[float, float, float, float]

    def labelled(self):
        return {n: (x, y) for n, (x, y, v) in zip(NAMES, self.points, strict=True) if v}


# v2/img07.png has no animal; v1/img02.png has two; a point is hidden, others are not labelled
ANIMALS = (
    Animal("v1/img01.png", "a", ((20.5, 30.25, 2), (24, 26, 2), (25, 33, 2), (50, 31, 2)), (14, 20, 42, 20)),
    Animal("v1/img02.png", "a", ((10, 12, 2), (14, 9, 2), (0, 0, 0), (30.75, 20, 2)), (5, 4, 30, 20)),
    Animal("v1/img02.png", "b", ((70, 50, 2), (66, 46, 2), (65, 54, 2), (44, 52, 2)), (40, 40, 36, 18)),
    Animal("v2/img01.png", "a", ((60, 40, 2), (0, 0, 0), (55, 44, 2), (0, 0, 0)), (50, 34, 16, 14)),
)


def animals(single=False):
    """All animals, or those of the individual `a`, for tools that know one animal a picture."""
    return [animal for animal in ANIMALS if not single or animal.individual == "a"]


def picture(name, width=WIDTH, height=HEIGHT):
    """Pixels of a picture, other ones for each name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    small = rng.integers(0, 255, (4, 6, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def write_pictures(folder, names=PICTURES):
    """Writes the pictures below a folder."""
    for name in names:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture(name))


def matches(content, images, *, single=False, visibility=False, boxes=False, names=NAMES):
    """Asserts that a COCO file holds the animals of this sample and nothing else."""
    (keypoints,) = {tuple(category["keypoints"]) for category in content["categories"]}
    assert keypoints == tuple(names)
    files = {image["id"]: image for image in content["images"]}
    for image in files.values():
        assert (Path(images) / image["file_name"]).is_file()
        assert (image["width"], image["height"]) == (WIDTH, HEIGHT)
    wanted = animals(single)
    found = [_told(item, files[item["image_id"]]["file_name"]) for item in content["annotations"]]
    assert len(found) == len(wanted)
    for animal in wanted:
        mine = [one for one in found if one[0] == _short(animal.picture) and _near(one[1], animal.points)]
        assert len(mine) == 1, f"{animal} among {found}"
        if visibility:
            assert mine[0][1][:, 2].tolist() == [v for *_, v in animal.points]
        if boxes:
            np.testing.assert_allclose(mine[0][2], animal.box, atol=0.5)


def _short(name):
    return "-".join(name.replace(".png", "").replace("/", "-").split("-")[-2:])


def _told(item, file_name):
    points = np.array(item["keypoints"]).reshape(-1, 3)
    assert (points[points[:, 2] == 0] == 0).all()
    assert item["num_keypoints"] == (points[:, 2] > 0).sum()
    return _short(file_name), points, item["bbox"]


def _near(points, wanted):
    wanted = np.array(wanted)
    same = (points[:, 2] > 0) == (wanted[:, 2] > 0)
    return bool(same.all() and (np.abs(points[:, :2] - wanted[:, :2]) <= 0.5).all())


def dump(path, values):
    """Writes JSON, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path
