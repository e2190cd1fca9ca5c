"""A made-up copy of LSPET of a few photographs, in either layout."""

import json

import cv2
import numpy as np

from lvtune.data.skeletons import LSP_14
from lvtune.domains.lsp_art import layouts

LISTS = {"train": tuple(range(1, 29)), "val": (40, 41, 42), "test": tuple(range(50, 64))}


def use_short_lists(monkeypatch, lists=LISTS):
    """The benchmark's photographs are those of ``lists``."""
    monkeypatch.setattr(layouts, "numbers", lambda split: lists[split])


def picture(number, size=(90, 70)):
    """A figure before a ramp, of another colour for each number."""
    h, w = size
    image = np.full((h, w, 3), (60 + number, 120, 200 - number), np.uint8)
    cv2.ellipse(image, (w // 2, h // 2), (w // 6, h // 3), 0, 0, 360, (30, 40 + 2 * number, 90), -1)
    return image


def joints(number, size=(90, 70)):
    """(14, 3) in the middle half of the picture; one of them not labelled."""
    rng = np.random.default_rng(number)
    points = np.ones((14, 3))
    points[:, :2] = rng.uniform(0.3, 0.7, (14, 2)) * size[::-1]
    points[number % 14] = 0
    return points


def crops(folder, lists=LISTS):
    """The layout of person crops; the train photographs stand in val.json and test.json, as in ours."""
    category = {"id": 1, "name": "person", "keypoints": list(LSP_14.keypoints), "skeleton": []}
    parts = {
        "val": [*lists["train"][::2], *lists["val"]],
        "test": [*lists["train"][1::2], *lists["test"]],
        "train": [7001],
    }
    (folder / "annotations").mkdir(parents=True)
    for part, numbers in parts.items():
        (folder / "images" / part).mkdir(parents=True)
        images, notes = [], []
        for number in numbers:
            name = f"{part}/im{number:05d}.jpg"
            cv2.imwrite(str(folder / "images" / name), picture(number))
            images.append({"id": number, "file_name": name, "width": 70, "height": 90})
            points = joints(number) * (1, 1, 2)
            notes.append({"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "area": 1500.0,
                          "bbox": [15, 20, 40, 50], "keypoints": points.reshape(-1).tolist()})  # fmt: skip
        values = {"images": images, "annotations": notes, "categories": [category]}
        (folder / "annotations" / f"{part}.json").write_text(json.dumps(values))
    return folder


def original(folder, lists=LISTS, size=(300, 400)):
    """The layout of the archive."""
    from scipy.io import savemat

    (folder / "images").mkdir(parents=True)
    count = max(max(numbers) for numbers in lists.values())
    savemat(folder / "joints.mat", {"joints": np.stack([joints(n, size) for n in range(1, count + 1)], -1)})
    for number in [n for numbers in lists.values() for n in numbers]:
        cv2.imwrite(str(folder / "images" / f"im{number:05d}.jpg"), picture(number, size))
    return folder
