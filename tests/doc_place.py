"""A folder with everything that the documents name: projects, pictures, videos, data sets, adapters."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import cv2
import hand_layouts
import layouts
import numpy as np
from domains import lspet
from own_files import draw_pictures, sound
from videos import write_video

import lvtune
from lvtune.cli.main import main
from lvtune.data.skeletons import COCO_17, LSP_14

POINTS = ("snout", "leftear", "rightear", "tailbase")
PHOTO = Path(__file__).parent / "samples/coco/val2017/000000000785.jpg"
QUICK = ("--train.steps", "1", "--train.batch-size", "2", "--no-flip-test", "--start", "none")
ART = ("art", "drawings", "paintings", "body", "hands", "lvtune-out/vitpose-ti-demo-art-vlpose-light")
"""Adapters of demo-art."""


def write_project(root: Path, points: tuple[str, ...] = POINTS, pictures: int = 40) -> Path:
    """A DeepLabCut project of pictures from two videos."""
    rng = np.random.default_rng(0)
    links = f"[[{points[0]}, {points[1]}]]"
    (root / "labeled-data").mkdir(parents=True)
    config = f"Task: mice\nscorer: me\nmultianimalproject: false\nbodyparts: [{', '.join(points)}]\nskeleton: {links}\n"
    (root / "config.yaml").write_text(config, encoding="utf-8")
    for video in ("mouse1", "mouse2"):
        folder = root / "labeled-data" / video
        folder.mkdir()
        head = [["scorer"] + ["me"] * 2 * len(points), ["bodyparts"] + [p for p in points for _ in "xy"],
                ["coords"] + ["x", "y"] * len(points)]  # fmt: skip
        rows = [",".join(line) for line in head]
        for number in range(pictures // 2):
            name = f"img{number:03}.png"
            cv2.imwrite(str(folder / name), _noise(rng))
            places = rng.uniform((20, 15), (100, 75), (len(points), 2)).round(1)
            rows.append(",".join([f"labeled-data/{video}/{name}", *map(str, places.ravel().tolist())]))
        (folder / "CollectedData_me.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def write_woodcuts(root: Path, pictures: int = 4) -> Path:
    """The layout of examples/my_domain.py, with COCO's key points."""
    rng = np.random.default_rng(2)
    (root / "pictures").mkdir(parents=True)
    names = [f"{('old', 'modern')[number % 2]}-{number:04}.png" for number in range(pictures)]
    images = [{"id": number, "file_name": name, "width": 120, "height": 90} for number, name in enumerate(names)]
    persons = []
    for image in images:
        cv2.imwrite(str(root / "pictures" / image["file_name"]), _noise(rng))
        points = np.column_stack([rng.uniform((20, 15), (100, 75), (17, 2)).round(1), np.full(17, 2)])
        persons.append({"id": image["id"], "image_id": image["id"], "category_id": 1, "iscrowd": 0, "area": 4800,
                        "bbox": [20, 15, 80, 60], "keypoints": points.ravel().tolist()})  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}
    values = {"images": images, "annotations": persons, "categories": [category]}
    for part in ("train", "val", "test"):
        (root / f"{part}.json").write_text(json.dumps(values), encoding="utf-8")
    return root


def _noise(rng: np.random.Generator, size: tuple[int, int] = (120, 90)) -> np.ndarray:
    return cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)


def make_place(place: Path) -> Path:
    """Fills ``place``, the current folder."""
    rng = np.random.default_rng(1)
    write_project(place / "MYPROJECT")
    for folder in ("in", "frames", "PICTURES"):
        (place / folder).mkdir()
        for number in range(3):
            cv2.imwrite(str(place / folder / f"{number}.jpg"), _noise(rng))
    for name in ("photo.jpg", "painting.jpg", "hand.jpg"):
        shutil.copy(PHOTO, place / name)
    (place / "list.txt").write_text("in/0.jpg\nin/1.jpg\n", encoding="utf-8")
    boxes = {name: [[5, 5, 80, 70]] for name in ("0.jpg", "1.jpg", "2.jpg")}
    (place / "boxes.json").write_text(json.dumps(boxes), encoding="utf-8")
    own = sound(12)
    draw_pictures(own, place / "pictures")
    (place / "mine.json").write_text(json.dumps(own), encoding="utf-8")
    layouts.humanart(place)
    layouts.coco(place / "coco")
    lspet.crops(place / "LSPET")
    (place / "FreiHAND").mkdir()
    hand_layouts.freihand(place / "FreiHAND")
    write_woodcuts(place / "WOODCUTS")
    write_woodcuts(place / "LABELLED", 12)
    _write_videos(place)
    _make_adapters(place)
    return place


def _write_videos(place: Path) -> None:
    if importlib.util.find_spec("av") is not None:
        write_video(place / "mouse.mp4", 6)
        write_video(place / "cage.mp4", 6)
        write_video(place / "walk.mp4", 30, times=[500 * number for number in range(30)])


def run(*words: str) -> None:
    """Runs a command of lvtune in the current folder; it must succeed."""
    code = main([*words])
    assert code == 0, f"lvtune {' '.join(words)} ended with exit code {code}"


def _make_adapters(place: Path) -> None:
    base = lvtune.load_base("vitpose-ti")
    for name, method in (("my-lora", "lora"), ("sketch", "lora"), ("oil", "lora"), ("my-vlpose", "vlpose")):
        lvtune.save_adapter(lvtune.create_adapter(method, base, domain="demo-art"), place / name)
    hands = lvtune.load_base("hand3d-vit")
    lvtune.save_adapter(lvtune.create_adapter("lora", hands, domain="hand-figures"), place / "HANDS")
    # with the gate that docs/choosing.md speaks of
    run("adapt", "--limit", "30", "--out", "art", *QUICK)
    for name in ART[1:]:
        shutil.copytree(place / "art", place / name)
    run("adapt", "MYPROJECT", "--out", "mice", "--base.input-size", "own", "--source-data", "none", *QUICK)
    write_project(place / "PERSONS", (*LSP_14.keypoints, "hat"), 6)
    write_project(place / "fewer-points", POINTS[:2], 12)
    run("adapt", "fewer-points", "--out", "my-adapter", "--source-data", "none", *QUICK)
    shutil.copytree(place / "mice", place / "lvtune-out/mine")
